//! Payments over the real order, kitchen and points, with the sandboxes of the bank and the printer.

mod faults;
mod monitoring;
mod paying;
mod receipts;
mod reconciling;
mod refunding;
mod sequences;
mod webhooks;
mod world;
