//! The comments of the contracts as flowing text.

use artel_proto::annotations;
use prost_reflect::FileDescriptor;

/// The comment above what has this path in the file; empty where there is none.
pub fn above(file: &FileDescriptor, path: &[i32]) -> String {
    flow(&annotations::comment(file, path))
}

/// Lines broken to fit become flowing text again; an empty line stays a paragraph.
fn flow(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|paragraph| {
        paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    });
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_flow_and_paragraphs_stay() {
        assert_eq!(super::flow(" One\n two.\n\n Three.\n"), "One two.\n\nThree.");
    }
}
