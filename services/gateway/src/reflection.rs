//! Reflection for the whole mesh at its edge: what may be called from outside, and nothing else.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic_reflection::server::{Builder, Error};

use crate::surface::Surface;

/// Reflection over the public services. It is made of this twice: both versions of the protocol, for new clients and
/// old.
///
/// # Errors
/// Where the descriptors contradict themselves.
pub fn builder(surface: &Surface) -> Result<Builder<'static>, Error> {
    Ok(Builder::configure().register_file_descriptor_set(public(surface)?))
}

/// The contracts without what has no route: internal methods, services that have no other, and the files that are
/// only about those.
fn public(surface: &Surface) -> Result<FileDescriptorSet, Error> {
    let methods: BTreeSet<&str> = surface.methods.iter().map(|method| method.full_name.as_str()).collect();
    let mut set = FileDescriptorSet::decode(artel_proto::DESCRIPTORS)?;
    for file in &mut set.file {
        let package = file.package().to_owned();
        for service in &mut file.service {
            let name = format!("{package}.{}", service.name());
            service.method.retain(|method| methods.contains(format!("{name}.{}", method.name()).as_str()));
        }
        file.service.retain(|service| !service.method.is_empty());
        // Comments are bound to positions, which are others now.
        file.source_code_info = None;
    }
    let needed = needed(&set.file);
    set.file.retain(|file| needed.contains(file.name()));
    Ok(set)
}

/// The files with services, and what they import.
fn needed(files: &[FileDescriptorProto]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    let mut ahead: Vec<&FileDescriptorProto> = files.iter().filter(|file| !file.service.is_empty()).collect();
    while let Some(file) = ahead.pop() {
        if needed.insert(file.name().to_owned()) {
            ahead
                .extend(files.iter().filter(|other| file.dependency.iter().any(|name| name == other.name())));
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use artel_proto::annotations::pool;

    use super::*;

    #[test]
    fn only_what_is_public_is_shown() {
        let set = public(&Surface::read(pool()).unwrap()).unwrap();
        let services: Vec<_> =
            set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
        assert!(services.contains(&"OrderService"));
        assert!(!services.contains(&"PersistService"));
        let methods: Vec<_> = set
            .file
            .iter()
            .flat_map(|file| &file.service)
            .flat_map(|service| &service.method)
            .map(|method| method.name())
            .collect();
        assert!(methods.contains(&"Login"));
        assert!(!methods.contains(&"GrantRole"));
        assert!(!set.file.iter().any(|file| file.package() == "artel.persist.v1"));
        // What is left still holds together.
        prost_reflect::DescriptorPool::from_file_descriptor_set(set).unwrap();
    }
}
