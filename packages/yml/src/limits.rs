//! How much a feed may ask of us.

/// Bounds on a feed. Over a bound of an offer, the offer is rejected; over a bound of the feed, the
/// feed is refused. The defaults let every honest feed through and hold the reader under 64 MB.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes (in UTF-8) of one tag, text, comment or CDATA section; more refuses the feed, for such
    /// a piece has to be held whole.
    pub event_bytes: usize,
    /// Bytes of XML of one offer.
    pub offer_bytes: u64,
    /// Bytes of text of one field, as written, but for the description.
    pub field_bytes: usize,
    /// Bytes of a description, as written, with its markup.
    pub description_bytes: usize,
    /// Characters of an id of an offer or category.
    pub id_chars: usize,
    /// Elements inside each other within an offer.
    pub depth: usize,
    /// Attributes of one element.
    pub attributes: usize,
    /// Params of an offer.
    pub params: usize,
    /// Pictures of an offer.
    pub pictures: usize,
    /// Barcodes of an offer.
    pub barcodes: usize,
    /// Offers that are accepted from one feed: their ids are remembered, 9 bytes each.
    pub offers: usize,
    /// Categories of a feed.
    pub categories: usize,
    /// Bytes of XML of offers that may wait for categories which come after them.
    pub waiting_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 4 << 20,
            offer_bytes: 1 << 20,
            field_bytes: 8 << 10,
            description_bytes: 256 << 10,
            id_chars: 80,
            depth: 16,
            attributes: 64,
            params: 300,
            pictures: 50,
            barcodes: 50,
            offers: 4_000_000,
            categories: 30_000,
            waiting_bytes: 4 << 20,
        }
    }
}
