//! HTTPS beside the plain port: agreed protocols, an old client refused, a new certificate taken while it runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_proto::catalog::ListCategoriesRequest;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::envoy::{Edge, free_ports};
use crate::upstream::Upstream;

/// Somebody whom a client trusts.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Puts a new certificate where Envoy looks for it, in one step; gives it as a client sees it.
    fn issue(&self, path: &Path) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let beside = path.with_extension("new");
        std::fs::write(&beside, format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap();
        std::fs::rename(beside, path).unwrap();
        certificate.der().clone()
    }

    fn trusted(&self, versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, address: SocketAddr, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = self.trusted(rustls::ALL_VERSIONS, alpn);
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, TcpStream::connect(address).await?).await
    }
}

async fn https(upstream: &Upstream, pem: &Path, hsts: u32) -> (Edge, SocketAddr) {
    let [bind] = free_ports();
    let edge = Edge::start(|config| {
        config.tls.bind = bind.to_string();
        config.tls.pem = pem.display().to_string();
        config.tls.hsts_seconds = hsts;
    });
    let edge = edge.await.open(upstream).await;
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(bind).await.is_err() {
        assert!(Instant::now() < end, "HTTPS never opened: {}", edge.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (edge, bind)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_speaks_http_2_and_1_and_no_old_tls() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let (authority, pem) = (Authority::new(), folder.path().join("edge.pem"));
    authority.issue(&pem);
    let (edge, address) = https(&upstream, &pem, 600).await;

    for (offered, agreed) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
        let stream = authority.connect(address, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed.as_bytes()), "{offered:?}");
    }
    let connector = authority.trusted(&[&version::TLS12], &["h2"]);
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
    // What an old client says first: TLS 1.1 and nothing newer. It gets an alert: fatal, protocol_version.
    assert_eq!(greet_as_tls_1_1(address).await.get(5..), Some(&[2, 70][..]));

    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let answer =
        http.get(format!("https://localhost:{}/api/v1/products", address.port())).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=600; includeSubDomains");
    let refused =
        http.get(format!("https://localhost:{}/api/v1/orders", address.port())).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("strict-transport-security"));
    let plain = edge.http.get(format!("{}/api/v1/products", edge.url)).send().await.unwrap();
    assert!(!plain.headers().contains_key("strict-transport-security"), "it means nothing there");
    assert!(reqwest::get(format!("https://localhost:{}/", address.port())).await.is_err(), "nobody knows us");

    let authority = Arc::new(authority);
    let over_tls = tower::service_fn(move |_: http::Uri| {
        let authority = authority.clone();
        async move { authority.connect(address, &["h2"]).await.map(hyper_util::rt::TokioIo::new) }
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(over_tls).await.unwrap();
    CatalogServiceClient::new(channel).list_categories(ListCategoriesRequest {}).await.unwrap();
    let scheme = upstream.seen.metadata.lock().unwrap().get("x-forwarded-proto").cloned().unwrap();
    assert_eq!(scheme, "https");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_without_a_restart_and_cuts_nobody_off() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let (authority, pem) = (Authority::new(), folder.path().join("edge.pem"));
    let first = authority.issue(&pem);
    let (edge, address) = https(&upstream, &pem, 0).await;
    let shown = async || {
        let stream = authority.connect(address, &[]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    assert_eq!(shown().await, first);
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let slow = format!("https://localhost:{}/api/v1/orders?pageSize=3000", address.port());
    let before = upstream.calls();
    let under_way = tokio::spawn(http.get(slow).bearer_auth(upstream.key.token()).send());
    let end = Instant::now() + Duration::from_secs(20);
    while upstream.calls() == before {
        assert!(Instant::now() < end, "the call never arrived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = authority.issue(&pem);
    while shown().await != second {
        assert!(Instant::now() < end, "the old certificate stayed: {}", edge.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = under_way.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("strict-transport-security"), "the operator said 0");
    // What is no certificate leaves the old one.
    std::fs::write(folder.path().join("bad"), "nonsense").unwrap();
    std::fs::rename(folder.path().join("bad"), &pem).unwrap();
    while edge.stat("sds.edge.key_rotation_failed").await + edge.stat("sds.edge.update_rejected").await == 0
        && !edge.log().contains("nonsense")
        && !edge.log().contains("Failed to load")
    {
        assert!(Instant::now() < end, "nobody noticed: {}", edge.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shown().await, second);
}

/// Sends a client's first message of TLS 1.1 and gives what comes back.
async fn greet_as_tls_1_1(address: SocketAddr) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session; TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA and its RSA twin; no compression.
    hello.extend([0, 0, 4, 0xc0, 0x09, 0xc0, 0x13, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    answer
}
