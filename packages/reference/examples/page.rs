//! The reference as a browser gets it: `cargo run -p artel-reference --example page > page.html`.

fn main() {
    let services = artel_reference::read(artel_proto::annotations::pool());
    print!("{}", artel_reference::page(&services).html);
}
