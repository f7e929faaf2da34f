//! The service over the real `persist`, behind the whole server stack, with its tasks running.

#![allow(clippy::unwrap_used)]

mod guest_limits;
mod guests;
mod keys;
mod live;
mod profile;
mod register;
mod roles;
mod secrets;
mod sessions;
mod sign_in;
mod support;
