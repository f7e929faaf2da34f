//! Seals of the change log. A moment after they were committed, rows are sealed in the order of their commits: those of
//! a workspace make a Merkle tree, whose root is chained to the seal before and signed. Whoever alters, removes or
//! inserts a row afterwards has to forge a signature, and the whole chain behind it.
//!
//! ```text
//! tree    rows as leaves, leaves as a root
//! chain   a seal, its digest, what it follows from
//! keys    what signs, and what is trusted
//! sealer  sets seals, one copy of persist at a time
//! verify  checks them
//! ```

mod chain;
mod keys;
mod sealer;
mod tree;
mod verify;

pub(crate) use keys::Keys;
pub(crate) use sealer::Sealer;
pub(super) use tree::LEAF;
pub(crate) use verify::{Checked, Verifier};
