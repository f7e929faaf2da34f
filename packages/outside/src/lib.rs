//! Calls to companies outside of the mesh: each is sent once and ends in time, and what is known of it afterwards is said as
//! exactly as it can be.

mod http;
mod token;

pub use http::{Failed, Http, Reply};
pub use token::{Issued, Tokens};
