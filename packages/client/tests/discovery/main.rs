//! Which copy of a service gets a call: the less loaded, none that is gone, silent or failing for long, and another one
//! only where that does no harm.

#![allow(clippy::unwrap_used)]

mod busy;
mod choosing;
mod failing;
mod support;
