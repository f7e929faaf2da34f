//! One file a command.

pub mod bench;
pub mod components;
pub mod compose;
pub mod demo;
pub mod doctor;
pub mod down;
pub mod events;
pub mod logs;
pub mod new;
pub mod proto;
pub mod status;
pub mod test;
pub mod up;
