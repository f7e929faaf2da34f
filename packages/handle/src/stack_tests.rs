//! The server stack from outside: who gets in, and what the others are told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use artel_client::{CALL_HEADER, Call, CallKey, Channels, User};
use artel_discovery::Consul;
use artel_proto::identity::JsonWebKey;
use artel_proto::order::order_service_server::{OrderService, OrderServiceServer};
use artel_proto::order::{
    CancelOrderRequest, CancelOrderResponse, CreateOrderRequest, CreateOrderResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse,
};
use artel_proto::{Message, order};
use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request as HttpRequest, Response as HttpResponse};
use http_body_util::{BodyExt as _, Full};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};

use crate::admission::Bounds;
use crate::api::Apis;
use crate::authenticate::Gate;
use crate::door;
use crate::keys::{Claims, Keys};
use crate::stack::Stack;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";

/// Answers with who calls, and in lists with what the request is called; cancelling takes for ever.
pub(crate) struct Mirror;

#[tonic::async_trait]
impl OrderService for Mirror {
    async fn create_order(
        &self,
        _: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        Ok(Response::new(CreateOrderResponse::default()))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let call = Call::of(&request)?;
        let names = [&call.request_id, &call.correlation].map(|name| name.as_deref().unwrap_or("-"));
        Ok(Response::new(ListOrdersResponse { next_page_token: names.join(" "), ..Default::default() }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let call = Call::of(&request)?;
        let order = order::Order {
            id: call.workspace.clone(),
            user_id: call.user_id()?.to_owned(),
            number: call.service.clone(),
            ..Default::default()
        };
        Ok(Response::new(GetOrderResponse { order: Some(order) }))
    }

    async fn cancel_order(
        &self,
        _: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        std::future::pending().await
    }
}

/// A signing key and the stack that knows its public half.
pub(crate) struct Bench {
    stack: Stack,
    key: EncodingKey,
    pub(crate) calls: CallKey,
}

/// What is more than any test here takes up.
pub(crate) const PLENTY: Bounds = Bounds {
    most: 100_000,
    streams: 1_000,
    least: 100_000,
    latency: Duration::from_secs(3600),
    factor: 3.0,
    edge: 1.0,
};

impl Bench {
    async fn new() -> Self {
        Self::over(Mirror, PLENTY).await
    }

    /// A stack with these bounds in front of a service.
    pub(crate) async fn over(service: impl OrderService, bounds: Bounds) -> Self {
        Self::of(Apis::default().with(OrderServiceServer::new(service)), bounds).await
    }

    /// The same in front of any.
    pub(crate) async fn of(apis: Apis, bounds: Bounds) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        let jwk = JsonWebKey { kid: "k".into(), x: part(1..33), y: part(33..65), ..Default::default() };
        let calls = CallKey::new(SECRET).unwrap();
        let nowhere = Consul::new("http://127.0.0.1:9").unwrap();
        let keys = Keys::new(Channels::new("order", nowhere, calls.clone()).to("identity"), "order", 100);
        keys.learn(&[jwk]).await;
        let gate = Gate { call_key: calls.clone(), keys, default_workspace: "w0".into() };
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("order", tonic_health::ServingStatus::Serving).await;
        let stack = Stack::new("order", &apis.with_health(health), Router::new(), gate, bounds).unwrap();
        Self { stack, key: EncodingKey::from_ec_der(private.as_ref()), calls }
    }

    pub(crate) fn token(&self, change: impl FnOnce(&mut Claims, &mut Header)) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = Claims {
            iss: "artel".into(),
            aud: "artel".into(),
            sub: "anna".into(),
            iat: now,
            exp: now + 60,
            sid: "s".into(),
            workspace: "w1".into(),
            roles: Vec::new(),
            locale: "ru".into(),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".into());
        change(&mut claims, &mut header);
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    /// Calls a method with these headers; the message that came back, or the status.
    pub(crate) async fn call<M: Message, A: Message + Default>(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        message: &M,
    ) -> Result<A, Status> {
        self.call_path(&format!("/artel.order.v1.OrderService/{method}"), headers, message).await
    }

    pub(crate) async fn call_path<M: Message, A: Message + Default>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &M,
    ) -> Result<A, Status> {
        let response = self.ask(path, headers, message).await?;
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Ok(A::decode(&bytes[5..]).unwrap())
    }

    /// The same, for the head of the answer: what comes in it is not waited for.
    pub(crate) async fn ask<M: Message>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &M,
    ) -> Result<HttpResponse<Body>, Status> {
        let bytes = message.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend(bytes);
        let mut request = HttpRequest::post(path).header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::new(Full::from(body))).unwrap();
        let response = self.stack.answer(request).await.unwrap();
        if let Some(status) =
            Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
        {
            return Err(status);
        }
        Ok(response)
    }

    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Result<GetOrderResponse, Status> {
        self.call("GetOrder", headers, &GetOrderRequest { id: ID.into() }).await
    }

    async fn get_as(&self, token: &str) -> Result<GetOrderResponse, Status> {
        self.get(&[("authorization", &format!("Bearer {token}"))]).await
    }
}

#[tokio::test]
async fn a_person_is_known_by_an_access_token() {
    let bench = Bench::new().await;
    let seen = bench.get_as(&bench.token(|_, _| {})).await.unwrap().order.unwrap();
    assert_eq!((seen.user_id.as_str(), seen.id.as_str(), seen.number.as_str()), ("anna", "w1", ""));
}

#[tokio::test]
async fn no_other_token_opens_anything() {
    let bench = Bench::new().await;
    let good = bench.token(|_, _| {});
    let (_, claims) = (good.split('.').next().unwrap(), good.split('.').nth(1).unwrap());
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k"}"#);
    let tokens = [
        ("expired", bench.token(|claims, _| claims.exp = claims.iat - 1), "TOKEN_EXPIRED"),
        ("for others", bench.token(|claims, _| claims.aud = "bank".into()), "BAD_TOKEN"),
        ("by others", bench.token(|claims, _| claims.iss = "bank".into()), "BAD_TOKEN"),
        ("unknown key", bench.token(|_, header| header.kid = Some("x".into())), "BAD_TOKEN"),
        ("no key", bench.token(|_, header| header.kid = None), "BAD_TOKEN"),
        ("unsigned", format!("{none}.{claims}."), "BAD_TOKEN"),
        ("cut", good[..good.len() - 2].to_owned(), "BAD_TOKEN"),
        ("nonsense", "a.b.c".to_owned(), "BAD_TOKEN"),
    ];
    for (what, token, reason) in tokens {
        let status = bench.get_as(&token).await.unwrap_err();
        assert_eq!(
            (status.code(), artel_util::reason(&status).as_deref()),
            (Code::Unauthenticated, Some(reason)),
            "{what}"
        );
    }
    let nobody = bench.get(&[]).await.unwrap_err();
    assert_eq!(artel_util::reason(&nobody).as_deref(), Some("NO_TOKEN"));
    let basic = bench.get(&[("authorization", "Basic YTpi")]).await.unwrap_err();
    assert_eq!(basic.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_service_is_known_by_its_signed_call() {
    let bench = Bench::new().await;
    let mut call = Call::by_service("notify", "w2");
    call.user = Some(User { id: "boris".into(), roles: vec![], locale: "kk".into() });
    let token = bench.calls.sign("notify", &call).unwrap();
    let seen = bench.get(&[(CALL_HEADER, &token)]).await.unwrap().order.unwrap();
    assert_eq!((seen.user_id.as_str(), seen.id.as_str(), seen.number.as_str()), ("boris", "w2", "notify"));
    let other = CallKey::new("ffffffffffffffffffffffffffffffff").unwrap().sign("notify", &call).unwrap();
    assert_eq!(bench.get(&[(CALL_HEADER, &other)]).await.unwrap_err().code(), Code::Unauthenticated);
    // An access token is no service call, whoever sends it.
    let person = bench.token(|_, _| {});
    assert_eq!(bench.get(&[(CALL_HEADER, &person)]).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_request_keeps_its_name_and_an_error_holds_it() {
    use tonic_types::StatusExt as _;
    let bench = Bench::new().await;
    let authorization = format!("Bearer {}", bench.token(|_, _| {}));
    let mut call = Call::by_service("notify", "w2");
    call.user = Some(User { id: "boris".into(), roles: vec![], locale: "kk".into() });
    let signed = bench.calls.sign("notify", &call).unwrap();
    let (person, service) = (("authorization", authorization.as_str()), (CALL_HEADER, signed.as_str()));
    let (id, of) = (("x-request-id", "find-me"), ("x-correlation-id", "checkout-5"));
    let insane = ("x-request-id", "a\"b");
    for (headers, names) in [
        (vec![person, id, of], "find-me checkout-5"),
        (vec![person], "- -"),
        (vec![person, insane, of], "- checkout-5"),
        // Within the mesh it is the trace that says which request this was.
        (vec![service, id, of], "- checkout-5"),
    ] {
        let list: ListOrdersResponse =
            bench.call("ListOrders", &headers, &ListOrdersRequest::default()).await.unwrap();
        assert_eq!(list.next_page_token, names, "{headers:?}");
    }
    let wrong = GetOrderRequest { id: "1".into() };
    for (headers, quoted) in [
        (vec![id], Some("find-me")),
        (vec![person, id], Some("find-me")),
        (vec![person], None),
        (vec![person, insane], None),
        (vec![service, id], None),
    ] {
        let status = bench.call::<_, GetOrderResponse>("GetOrder", &headers, &wrong).await.unwrap_err();
        let info = status.get_details_request_info();
        assert_eq!(info.as_ref().map(|info| info.request_id.as_str()), quoted, "{headers:?}: {status:?}");
        // What was there before is still there.
        assert!(artel_util::reason(&status).is_some(), "{status:?}");
        assert!(headers == [id] || status.get_details_bad_request().is_some(), "{status:?}");
    }
}

#[tokio::test]
async fn wrong_fields_are_named_before_a_handler_sees_them() {
    let bench = Bench::new().await;
    let authorization = format!("Bearer {}", bench.token(|_, _| {}));
    let request = GetOrderRequest { id: "1".into() };
    let status = bench
        .call::<_, GetOrderResponse>("GetOrder", &[("authorization", &authorization)], &request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(artel_util::Error::from(status).fields()[0].field, "id");
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_the_caller_has_stopped_waiting() {
    let bench = Bench::new().await;
    let authorization = format!("Bearer {}", bench.token(|_, _| {}));
    let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "300m")];
    let request = CancelOrderRequest { id: ID.into() };
    let begin = tokio::time::Instant::now();
    let status = bench.call::<_, CancelOrderResponse>("CancelOrder", &headers, &request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(begin.elapsed() < Duration::from_secs(1));
}

/// Asked over HTTP/1, where the client is no more than a socket and has no timer that could be first.
#[tokio::test(flavor = "multi_thread")]
async fn the_caller_hears_that_the_time_is_over_and_not_that_the_call_was_cancelled() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(door::serve(listener, bench.stack.clone(), 100, CancellationToken::new()));
    let user = User { id: "anna".into(), roles: vec![], locale: "ru".into() };
    let call = Call { user: Some(user), ..Call::by_service("notify", "w") };
    let token = bench.calls.sign("notify", &call).unwrap();
    let message = CancelOrderRequest { id: ID.into() }.encode_to_vec();
    for millis in [1, 2, 3, 5, 10, 20, 50, 100, 150] {
        for _ in 0..5 {
            let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let head = format!(
                "POST /artel.order.v1.OrderService/CancelOrder HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\
                 {CALL_HEADER}: {token}\r\ngrpc-timeout: {millis}m\r\ncontent-length: {}\r\n\r\n",
                message.len() + 5
            );
            let mut request = head.into_bytes();
            request.push(0);
            request.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            request.extend(&message);
            socket.write_all(&request).await.unwrap();
            let mut answer = vec![0; 4096];
            let length = socket.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
            assert!(answer.contains("\r\ngrpc-status: 4\r\n"), "after {millis} ms: {answer}");
        }
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_with_the_limit_whatever_the_service() {
    let mirror = || Apis::default().with(OrderServiceServer::new(Mirror));
    let (short, long) = (Bench::of(mirror().limited(1_000), PLENTY), Bench::of(mirror(), PLENTY));
    let (short, long) = (short.await, long.await);
    let message = ListOrdersRequest { page_token: "x".repeat(1_000), ..Default::default() };
    let ask = async |bench: &Bench| {
        let authorization = format!("Bearer {}", bench.token(|_, _| {}));
        let headers = [("authorization", authorization.as_str())];
        bench.call::<_, ListOrdersResponse>("ListOrders", &headers, &message).await
    };
    let refused = artel_util::Error::from(ask(&short).await.unwrap_err());
    assert_eq!((refused.reason(), refused.get("limit")), ("MESSAGE_TOO_LARGE", Some("1000")));
    // The control: it is not the message itself.
    ask(&long).await.unwrap();
}
