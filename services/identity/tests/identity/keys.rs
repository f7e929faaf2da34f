use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use artel_handle::Claims;
use artel_persist::testing::TestDatabase;
use artel_proto::identity::{GetKeysRequest, JsonWebKey, RotateKeysRequest, SigningKey};
use artel_repo::Query;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tonic::Code;

use crate::support::{Edge, World, edge, fresh_email, login, mesh, refresh, refusal, register, serve, until};

/// How long a verifier believes what it fetched.
const BELIEVED: Duration = Duration::from_secs(1);

/// What a verifier such as Envoy does: it keeps the keys it fetched and does not ask again for one it does not know.
struct Verifier {
    keys: HashMap<String, DecodingKey>,
    fetched: Instant,
}

impl Verifier {
    async fn fetch(edge: &Edge) -> Self {
        let fetched = Instant::now();
        let decode =
            |key: &JsonWebKey| (key.kid.clone(), DecodingKey::from_ec_components(&key.x, &key.y).unwrap());
        Self { keys: published(edge).await.iter().map(decode).collect(), fetched }
    }

    /// Fetches again what is too old to be believed.
    async fn keep_up(&mut self, edge: &Edge) -> &Self {
        if self.fetched.elapsed() > BELIEVED {
            *self = Self::fetch(edge).await;
        }
        self
    }

    fn verify(&self, token: &str) -> Result<Claims, String> {
        let kid = kid(token);
        let key = self.keys.get(&kid).ok_or_else(|| format!("{kid} is unknown"))?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&["artel"]);
        validation.set_issuer(&["artel"]);
        validation.leeway = 0;
        Ok(jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|error| error.to_string())?.claims)
    }
}

async fn published(edge: &Edge) -> Vec<JsonWebKey> {
    edge.clone().get_keys(GetKeysRequest {}).await.unwrap().into_inner().keys
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn keys_are_published_as_rfc_7517_has_them_and_stored_sealed() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let keys = published(&edge).await;
    assert_eq!(keys.len(), 1);
    let key = &keys[0];
    assert_eq!(
        [&key.kty, &key.crv, &key.r#use, &key.alg].map(String::as_str),
        ["EC", "P-256", "sig", "ES256"]
    );
    assert_eq!((key.x.len(), key.y.len()), (43, 43));
    let token = register(&edge, &fresh_email()).await.access_token;
    assert_eq!(kid(&token), key.kid);
    let claims = Verifier::fetch(&edge).await.verify(&token).unwrap();
    assert_eq!((claims.iss.as_str(), claims.aud.as_str(), claims.exp - claims.iat), ("artel", "artel", 900));

    let (repo, call) = world.repo();
    let stored = repo.query::<SigningKey>(&call, Query::new()).await.unwrap().items;
    // A private key in PKCS #8 holds its public point in the clear; a sealed one shows nothing.
    let sealed = &stored[0].sealed_private_key;
    assert!(
        sealed.len() > 100
            && !sealed.windows(16).any(|part| stored[0].public_key.windows(16).any(|own| own == part))
    );
}

#[tokio::test]
async fn copies_that_start_at_once_agree_on_the_first_key() {
    let database = TestDatabase::create().await.unwrap();
    let mesh = mesh("").await;
    mesh.serve(database.persist().await.unwrap()).await.unwrap();
    let (one, other) = tokio::join!(serve(&mesh), serve(&mesh));
    let (one, other) = (edge(one).await, edge(other).await);
    let (from_one, from_other) = tokio::join!(published(&one), published(&other));
    assert_eq!(from_one, from_other);
    assert_eq!(from_one.len(), 1);
    let email = fresh_email();
    let registered = register(&one, &email).await;
    let signed_in = login(&other, &email, crate::support::PASSWORD).await.unwrap();
    assert_eq!(kid(&registered.access_token), kid(&signed_in.access_token));
}

#[tokio::test]
async fn without_storage_there_are_no_keys_until_it_comes() {
    let mesh = mesh("").await;
    let alone = edge(serve(&mesh).await).await;
    let none = alone.clone().get_keys(GetKeysRequest {}).await;
    // Not an empty list: verifiers would believe it.
    assert_eq!(refusal(none), (Code::Unavailable, "NO_SIGNING_KEY".into()));
    let database = TestDatabase::create().await.unwrap();
    mesh.serve(database.persist().await.unwrap()).await.unwrap();
    until("keys are published", async || alone.clone().get_keys(GetKeysRequest {}).await.is_ok()).await;
    register(&alone, &fresh_email()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_refused_while_keys_rotate() {
    // What lies between believing and publishing ahead is there for copies that look late on a busy machine.
    let config = "access_token_seconds = 2\n[identity.signing]\npublish_ahead_seconds = 3\nreload_ms = 100";
    let world = World::start(config).await;
    let edges = [world.edge().await, edge(serve(&world.mesh).await).await];
    let (mut operator, call) = world.inside("operator");
    let mut refresh_tokens = Vec::new();
    for edge in &edges {
        refresh_tokens.push(register(edge, &fresh_email()).await.refresh_token);
    }
    let begun = Instant::now();
    let mut rotations = [500, 2_000, 2_200].map(Duration::from_millis).into_iter().peekable();
    let mut verifier = Verifier::fetch(&edges[0]).await;
    let (mut alive, mut signed_by, mut checked) = (Vec::<(String, u64)>::new(), BTreeSet::new(), 0);
    while begun.elapsed() < Duration::from_secs(7) {
        if rotations.next_if(|moment| begun.elapsed() >= *moment).is_some() {
            let before = published(&edges[0]).await;
            let after =
                operator.rotate_keys(call.request(RotateKeysRequest {})).await.unwrap().into_inner().keys;
            assert_eq!(after.len(), before.len() + 1, "a new key is published at once");
            assert_eq!(after[0], before[0], "and does not sign yet");
        }
        for (edge, refresh_token) in edges.iter().zip(&mut refresh_tokens) {
            let answer = refresh(edge, refresh_token).await.unwrap();
            *refresh_token = answer.refresh_token;
            signed_by.insert(kid(&answer.access_token));
            let claims = verifier.keep_up(&edges[checked % 2]).await.verify(&answer.access_token);
            let claims = claims.unwrap_or_else(|why| panic!("{why} at {:?}", begun.elapsed()));
            alive.push((answer.access_token, claims.exp));
        }
        // Old tokens, and the newest keys.
        let newest = Verifier::fetch(&edges[checked % 2]).await;
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap();
        alive.retain(|(_, expires)| *expires > now + 1);
        for (token, _) in &alive {
            newest.verify(token).unwrap_or_else(|why| panic!("{why} at {:?}", begun.elapsed()));
        }
        checked += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(signed_by.len() >= 3 && checked > 10, "{} keys signed, {checked} rounds", signed_by.len());
    until("replaced keys are no longer published", async || published(&edges[1]).await.len() == 1).await;
    let (repo, call) = world.repo();
    until("nor kept", async || repo.query::<SigningKey>(&call, Query::new()).await.unwrap().items.len() == 1)
        .await;
}
