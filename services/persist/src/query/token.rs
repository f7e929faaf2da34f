//! Page tokens: the place in a query's order where its next page begins. A token is good for its query alone.

use artel_proto::Message as _;
use artel_proto::persist::QueryRequest;
use artel_util::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use super::order::Sorting;
use crate::caller::Caller;
use crate::value::{Cell, Kind};

/// Bytes of the digest that binds a token to its query.
const DIGEST: usize = 16;
/// A length that stands for NULL.
const NULL: u32 = u32::MAX;

/// The token of the row with these values.
pub(super) fn write(caller: &Caller, request: &QueryRequest, cells: &[Cell]) -> String {
    let mut place = Vec::new();
    for cell in cells {
        match cell {
            None => place.extend_from_slice(&NULL.to_be_bytes()),
            Some(cell) => {
                place.extend_from_slice(&u32::try_from(cell.len()).unwrap_or(NULL).to_be_bytes());
                place.extend_from_slice(cell);
            }
        }
    }
    let mut token = digest(caller, request, &place);
    token.extend_from_slice(&place);
    URL_SAFE_NO_PAD.encode(token)
}

/// The values that a token holds; BAD_PAGE_TOKEN where it is of another query, or none of ours.
pub(super) fn read(caller: &Caller, request: &QueryRequest, sorting: &Sorting) -> Result<Vec<Cell>, Error> {
    parse(caller, request, sorting).ok_or_else(|| {
        let text = "is not the token of the page before of this same query; begin again without one";
        Error::new(Code::InvalidArgument, "BAD_PAGE_TOKEN", format!("pageToken: {text}"))
            .field("pageToken", text)
    })
}

fn parse(caller: &Caller, request: &QueryRequest, sorting: &Sorting) -> Option<Vec<Cell>> {
    let token = URL_SAFE_NO_PAD.decode(&request.page_token).ok()?;
    let (given, mut place) = token.split_at_checked(DIGEST)?;
    if given != digest(caller, request, place) {
        return None;
    }
    let mut cells = Vec::with_capacity(sorting.keys.len());
    for key in &sorting.keys {
        let (length, rest) = place.split_first_chunk::<4>()?;
        place = rest;
        let length = u32::from_be_bytes(*length);
        if length == NULL {
            cells.push(None);
            continue;
        }
        let (cell, rest) = place.split_at_checked(usize::try_from(length).ok()?)?;
        place = rest;
        cells.push(Some(fitting(key.kind, cell)?));
    }
    place.is_empty().then_some(cells)
}

/// The digest covers the place too, so that nobody makes up a token of which the database could not make sense.
fn digest(caller: &Caller, request: &QueryRequest, place: &[u8]) -> Vec<u8> {
    let query = QueryRequest {
        page_size: 0,
        page_token: String::new(),
        with_total: false,
        consistency: None,
        ..request.clone()
    };
    let mut hasher = Sha256::new();
    hasher.update(caller.workspace.as_bytes());
    hasher.update(query.encode_length_delimited_to_vec());
    hasher.update(place);
    hasher.finalize()[..DIGEST].to_vec()
}

fn fitting(kind: Kind, cell: &[u8]) -> Option<Vec<u8>> {
    let fits = match kind {
        Kind::Uuid => cell.len() == 16,
        Kind::Bigint | Kind::Double | Kind::Timestamp => cell.len() == 8,
        Kind::Integer => cell.len() == 4,
        Kind::Boolean => cell.len() == 1,
        Kind::Text => std::str::from_utf8(cell).is_ok_and(|text| !text.contains('\0')),
        Kind::Bytes => true,
        Kind::Json => false,
    };
    fits.then(|| cell.to_vec())
}
