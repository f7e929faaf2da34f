//! The rules of the catalogue, pure: what a product may be, what a search asks for, how categories make a tree, what an
//! offer of a feed becomes.

pub(crate) mod offer;
pub(crate) mod product;
pub(crate) mod search;
pub(crate) mod tree;
