//! Compiles `proto/` into Rust: messages and stubs by tonic, and from Artel's own annotations what makes a message an
//! entity, an event, or a request that checks itself. `packages/proto` names this file as its build script.

#[path = "build/annotations.rs"]
mod annotations;
#[path = "build/entity.rs"]
mod entity;
#[path = "build/validate.rs"]
mod validate;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};
use prost_reflect::{DescriptorPool, MessageDescriptor, ServiceDescriptor};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());
    for script in ["build.rs", "build"] {
        println!("cargo:rerun-if-changed={}", root.join("..").join(script).canonicalize()?.display());
    }

    let files = proto_files(&root)?;
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // The encoded set keeps our options; the typed one, which the generator takes, has no room for them.
    let descriptors = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), &descriptors)?;

    // Generated code has no use for google.rpc (tonic-types has it) but the descriptor set does: Envoy renders error
    // details from it.
    let mut typed = compiler.file_descriptor_set();
    typed.file.retain(|file| file.package() != "google.rpc");
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::CheckedCodec")
        .enum_attribute(".", "#[allow(clippy::enum_variant_names)]")
        .include_file("generated.rs")
        .compile_fds(typed)?;

    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    fs::write(out.join("impls.rs"), implementations(&pool)?)?;
    fs::write(out.join("domains.rs"), domains(&pool))?;
    Ok(())
}

/// Every `.proto` file below the root, Google's included.
fn proto_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The trait implementations that the annotations ask for, as Rust.
fn implementations(pool: &DescriptorPool) -> Result<String> {
    let mut rust = String::new();
    for service in pool.services().filter(|service| service.package_name().starts_with("artel.")) {
        write!(rust, "{}", limited(&service))?;
    }
    for message in pool.all_messages().filter(is_generated) {
        write!(rust, "{}", validate::implementation(&message)?)?;
        if annotations::entity(&message).is_some() {
            write!(rust, "{}", entity::entity(&message)?)?;
        }
        if let Some(event) = annotations::event(&message) {
            write!(rust, "{}", entity::event(&message, &event)?)?;
        }
    }
    Ok(rust)
}

/// `impl Limited` for a service's generated server.
fn limited(service: &ServiceDescriptor) -> String {
    let package = service.package_name().replace('.', "::");
    let (name, mut module) = (service.name(), String::new());
    for (place, letter) in name.char_indices() {
        if place > 0 && letter.is_uppercase() {
            module.push('_');
        }
        module.extend(letter.to_lowercase());
    }
    format!(
        "impl<T> crate::Limited for generated::{package}::{module}_server::{name}Server<T> {{\n\
            fn limited(self, most: usize) -> Self {{ self.max_decoding_message_size(most) }}\n\
        }}\n"
    )
}

fn is_generated(message: &MessageDescriptor) -> bool {
    (message.full_name().starts_with("artel.") || message.full_name() == "google.api.HttpBody")
        && !message.is_map_entry()
}

/// A module for each domain: `artel.order.v1` is `order`.
fn domains(pool: &DescriptorPool) -> String {
    let packages: BTreeSet<String> = pool.files().map(|file| file.package_name().to_owned()).collect();
    let domains = packages.iter().filter_map(|package| package.strip_prefix("artel.")?.strip_suffix(".v1"));
    let modules = domains.map(|domain| match domain {
        "type" => "r#type::v1 as types".to_owned(),
        domain => format!("{domain}::v1 as {domain}"),
    });
    format!("pub use generated::artel::{{{}}};\n", modules.collect::<Vec<_>>().join(", "))
}
