//! A toy saga over a real `persist`: every point at which a process may die, races, drains.

mod deaths;
mod races;
mod toy;
mod ways;
