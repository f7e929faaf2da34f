//! Orders of dishes and the board over a real persist, with a stand-in for `menu`.

mod boards;
mod course;
mod dishes;
mod paying;
mod placing;
mod screens;
mod world;
