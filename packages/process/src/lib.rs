//! Work in steps that outlives the process that does it.
