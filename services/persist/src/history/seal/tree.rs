//! Rows as leaves, and the Merkle tree over them, as in RFC 6962: leaves and nodes are told apart by their first byte.

use sha2::{Digest as _, Sha256};

use crate::sql::{DriverRow, with_column};

/// A digest of SHA-256.
pub(super) type Digest = [u8; 32];

/// Bytes of a leaf as seals keep it: the row's position and its digest.
pub(crate) const LEAF: usize = 8 + 32;

/// The columns that are sealed, in this order: what a row says, and where it stands.
const SEALED: [&str; 13] = [
    "position",
    "workspace_id",
    "entity",
    "entity_id",
    "operation",
    "version",
    "ordinal",
    "actor_user",
    "actor_service",
    "trace",
    "time",
    "before::text",
    "after::text",
];

/// The columns that are sealed, of the table `w`.
pub(super) fn sealed_columns() -> String {
    SEALED.map(|column| format!("w.{column}")).join(", ")
}

/// The digest of a row whose sealed columns begin at `first`. Each column is its length (4 bytes, and all ones for NULL)
/// and its value as PostgreSQL sends it: numbers in network order, the time as microseconds since 2000, JSON as its text.
pub(super) fn leaf(row: &DriverRow, first: usize) -> Digest {
    let mut digest = Sha256::new();
    digest.update([0]);
    for index in first..first + SEALED.len() {
        with_column(row, index, |cell| match cell {
            Some(cell) => {
                digest.update(u32::try_from(cell.len()).unwrap_or(u32::MAX - 1).to_be_bytes());
                digest.update(cell);
            }
            None => digest.update(u32::MAX.to_be_bytes()),
        });
    }
    digest.finalize().into()
}

/// The root over the leaves; that of none is the digest of nothing.
pub(super) fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => *only,
        many => {
            let (left, right) = many.split_at(1 << (many.len() - 1).ilog2());
            let mut digest = Sha256::new();
            digest.update([1]);
            digest.update(root(left));
            digest.update(root(right));
            digest.finalize().into()
        }
    }
}

/// The leaves that a seal keeps; `None` where the bytes are not leaves in the order of positions.
pub(super) fn unpack(bytes: &[u8]) -> Option<Vec<(i64, Digest)>> {
    let (leaves, []) = bytes.as_chunks::<LEAF>() else { return None };
    let leaves = leaves.iter().map(|leaf| {
        let (position, digest) = leaf.split_first_chunk::<8>()?;
        Some((i64::from_be_bytes(*position), Digest::try_from(digest).ok()?))
    });
    let leaves = leaves.collect::<Option<Vec<_>>>()?;
    leaves.windows(2).all(|pair| pair[0].0 < pair[1].0).then_some(leaves)
}

/// The leaves as a seal keeps them.
pub(super) fn pack(leaves: &[(i64, Digest)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(leaves.len() * LEAF);
    for (position, digest) in leaves {
        bytes.extend_from_slice(&position.to_be_bytes());
        bytes.extend_from_slice(digest);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The roots that RFC 6962 implementations are tested with (Certificate Transparency's reference tree).
    #[test]
    fn the_root_is_that_of_rfc_6962() {
        let inputs: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let leaves: Vec<Digest> =
            inputs.iter().map(|input| Sha256::digest([&[0], *input].concat()).into()).collect();
        for (count, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(hex(&root(&leaves[..count])), expected, "{count}");
        }
    }

    #[test]
    fn leaves_are_kept_in_order() {
        let leaves = vec![(3, [1; 32]), (7, [2; 32])];
        assert_eq!(unpack(&pack(&leaves)), Some(leaves.clone()));
        assert_eq!(unpack(&pack(&[leaves[1], leaves[0]])), None);
        assert_eq!(unpack(&pack(&leaves)[1..]), None);
        assert_eq!(unpack(&[]), Some(Vec::new()));
    }
}
