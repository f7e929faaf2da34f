//! HTTPS on this machine: an authority of its own, which may speak for nobody but this machine, and the certificate that
//! Envoy shows. Both are made here and stay here.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;

use crate::files;
use crate::secrets::Secrets;

/// How long the authority is good, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// How long a certificate is good, in days: no client takes more than 398.
const DAYS: i64 = 397;
/// From which age on another is made at the next start.
const RENEW: Duration = Duration::from_secs(300 * 24 * 3600);

/// Where they are.
pub struct Certificates {
    /// Whom a client has to trust.
    pub authority: PathBuf,
    /// What Envoy shows: certificate and key.
    pub edge: PathBuf,
}

impl Certificates {
    /// Where they are, or would be, in this folder.
    pub fn of(folder: &Path) -> Self {
        Self { authority: folder.join("ca.pem"), edge: folder.join("edge.pem") }
    }

    /// Makes what is not there, or is old. The authority stays, so that it has to be trusted once.
    pub fn ensure(folder: &Path, secrets: &Secrets) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let certificates = Self::of(folder);
        let key = secrets.text("ca.key", || Ok(KeyPair::generate()?.serialize_pem()))?;
        let key = KeyPair::from_pem(&key).context("secrets/ca.key")?;
        let params = authority()?;
        // A certificate of this name that another key signed helps nobody.
        let known = fs::read_to_string(&certificates.authority).unwrap_or_default();
        let of_this_key = secrets.text("ca.pem", || Ok(params.self_signed(&key)?.pem()))?;
        let renewed = known != of_this_key;
        if renewed {
            files::write_public(&certificates.authority, &of_this_key)?;
        }
        if renewed || is_old(&certificates.edge) {
            let own = KeyPair::generate()?;
            let certificate = edge()?.signed_by(&own, &Issuer::new(params, key))?;
            // One file, so that Envoy never sees a key without its certificate.
            files::write_private(
                &certificates.edge,
                &format!("{}{}", own.serialize_pem(), certificate.pem()),
            )?;
        }
        Ok(certificates)
    }
}

fn is_old(file: &Path) -> bool {
    let modified = fs::metadata(file).and_then(|data| data.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).unwrap_or_default() > RENEW)
        || !file.is_file()
}

/// Whoever trusts it trusts it for this machine alone, even if its key is stolen.
fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Artel on this machine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let loopback = CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0]);
    let loopback_6 = CidrSubnet::V6(Ipv6Addr::LOCALHOST.octets(), [255; 16]);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(loopback),
            GeneralSubtree::IpAddress(loopback_6),
        ],
        excluded_subtrees: Vec::new(),
    });
    last(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn edge() -> Result<CertificateParams> {
    let names = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named("localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    last(&mut params, DAYS);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From an hour ago, for clocks that are behind.
fn last(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(days);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::state::State;

    #[test]
    fn the_authority_stays_and_the_certificate_is_renewed_when_it_is_old() {
        let dir = std::env::temp_dir().join(format!("artel-certificates-{}", std::process::id()));
        let secrets = Secrets::of(&State::open(&dir).unwrap());
        let folder = dir.join("tls");
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let first = Certificates::ensure(&folder, &secrets).unwrap();
        let (authority, edge) = (read(&first.authority), read(&first.edge));
        assert!(edge.contains("PRIVATE KEY") && edge.contains("BEGIN CERTIFICATE"));
        assert!(!authority.contains("PRIVATE KEY"));
        assert_eq!(fs::metadata(&first.edge).unwrap().permissions().mode() & 0o777, 0o600);
        Certificates::ensure(&folder, &secrets).unwrap();
        assert_eq!((read(&first.authority), read(&first.edge)), (authority.clone(), edge.clone()));
        let old = SystemTime::now() - RENEW - Duration::from_secs(1);
        fs::File::options().write(true).open(&first.edge).unwrap().set_modified(old).unwrap();
        Certificates::ensure(&folder, &secrets).unwrap();
        assert_eq!(read(&first.authority), authority);
        assert_ne!(read(&first.edge), edge);
        fs::remove_dir_all(&dir).unwrap();
    }
}
