//! One file a command.

pub mod components;
pub mod down;
