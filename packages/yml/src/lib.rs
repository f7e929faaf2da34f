//! Yandex Market Language feeds, read and written as streams.
//!
//! Feeds of real shops are messy, so the reader takes what can be understood, rejects single offers
//! with the line and a reason that says what to do, and refuses a feed only where its XML is broken or
//! asks for too much. It holds one offer at a time, whatever the size of the feed. It does no I/O but
//! through the `Read` that it is given.
//!
//! ```no_run
//! # fn main() -> Result<(), artel_yml::Error> {
//! # let file: &[u8] = b"";
//! use artel_yml::{Feed, Item};
//! for item in Feed::new(file) {
//!     match item? {
//!         Item::Offer(offer) => println!("{} costs {} {}", offer.name, offer.price_minor, offer.currency),
//!         Item::Rejected(rejected) => println!("line {}: {}", rejected.line, rejected.reason),
//!         Item::Shop(_) | Item::Currency(_) | Item::Category(_) | Item::Warning(_) => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Decisions where the format is silent:
//! * the encoding is that of a byte order mark, else of the declaration (UTF-8 and all single-byte
//!   ones), else UTF-8; bytes that aren't of it reject the offer they stand in;
//! * entities are never expanded: a DOCTYPE that declares some refuses the feed, other DOCTYPEs are
//!   passed over and nothing is fetched; names of HTML (`&nbsp;`) are characters; an unknown name
//!   rejects the offer; a lone `&` is an ampersand;
//! * a category whose parent is missing or which is its own ancestor becomes a top one;
//! * offers may come before categories while little has to wait for that;
//! * of several categories of an offer the first counts; two different prices reject it.

mod category;
mod chunks;
mod currency;
mod date;
mod entity;
mod error;
mod feed;
mod field;
mod limits;
mod model;
mod number;
mod offer;
mod seen;
mod source;
mod text;
mod writer;
mod xml;

pub use chunks::Chunks;
pub use currency::CurrencyCode;
pub use date::FeedDate;
pub use error::{Error, Flaw, Reason};
pub use feed::Feed;
pub use limits::Limits;
pub use model::{Bank, Category, Currency, Item, Offer, Param, Rate, Rejected, Shop, Warning};
pub use number::{Decimal, NumberFlaw};
pub use writer::{FeedWriter, WriteError};
