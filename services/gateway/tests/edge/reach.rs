//! One port, three ways to speak: REST, gRPC, gRPC-Web.

use artel_proto::Message as _;
use artel_proto::catalog::ListProductsRequest;
use artel_proto::order::order_service_client::OrderServiceClient;
use artel_proto::order::{CreateOrderItem, CreateOrderRequest, OrderStatus};
use bytes::Bytes;
use http::{HeaderValue, Method, Version};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tonic::Request;
use tower::Service as _;

use crate::envoy::Edge;
use crate::upstream::Upstream;

pub const ID: &str = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";

#[tokio::test(flavor = "multi_thread")]
async fn rest_reaches_methods_by_path_body_and_query() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let get = |path: String| edge.http.get(format!("{}{path}", edge.url)).send();

    let answer: Value = get(
        "/api/v1/products?search=%D1%87%D0%B0%D0%B9+5&minPrice=100&available=false&pageSize=3&orderBy=price%20desc"
            .into(),
    )
    .await
    .unwrap()
    .json()
    .await
    .unwrap();
    assert_eq!(answer["products"][0]["price"], json!({"amountMinor": "12900", "currency": "RUB"}));
    assert_eq!(answer["nextPageToken"], "");
    let asked = upstream.seen.products.lock().unwrap().pop().unwrap();
    assert_eq!(
        asked,
        ListProductsRequest {
            search: "чай 5".into(),
            min_price: Some(100),
            available: Some(false),
            page_size: 3,
            order_by: "price desc".into(),
            ..Default::default()
        }
    );

    let answer: Value = get(format!("/api/v1/products/{ID}")).await.unwrap().json().await.unwrap();
    assert_eq!(answer["product"]["id"], ID);

    let token = upstream.key.token();
    let answer: Value = edge
        .http
        .post(format!("{}/api/v1/orders/{ID}:cancel", edge.url))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["order"]["id"], ID);
    assert_eq!(answer["order"]["status"], "ORDER_STATUS_CANCELLED");

    let answer = edge
        .http
        .post(format!("{}/api/v1/orders", edge.url))
        .bearer_auth(&token)
        .json(&json!({"items": [{"productId": ID, "quantity": 2}], "idempotencyKey": "k"}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let placed = upstream.seen.orders.lock().unwrap().pop().unwrap();
    assert_eq!(placed.items, [CreateOrderItem { product_id: ID.into(), quantity: 2 }]);
    assert_eq!(placed.idempotency_key, "k");
}

/// Status, what is said of the body, and the body.
type Answer = (u16, [Option<HeaderValue>; 2], Bytes);

async fn over_http_1(edge: &Edge, method: &Method, path: &str, token: &str) -> Answer {
    let request = edge.http.request(method.clone(), format!("{}{path}", edge.url)).bearer_auth(token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
    let said = ["content-type", "content-length"].map(|name| answer.headers().get(name).cloned());
    (answer.status().as_u16(), said, answer.bytes().await.unwrap())
}

async fn over_http_2(edge: &Edge, method: &Method, path: &str, token: &str) -> Answer {
    let request = http::Request::builder().method(method.clone()).uri(format!("{}{path}", edge.url));
    let request = request.header("authorization", format!("Bearer {token}"));
    let mut channel = edge.channel();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = channel.call(request.body(tonic::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    let said = ["content-type", "content-length"].map(|name| answer.headers().get(name).cloned());
    (answer.status().as_u16(), said, answer.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_as_get_does_without_the_body() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let token = upstream.key.token();
    for (path, status) in [
        ("/api/v1/categories", 200),
        ("/api/v1/products?pageSize=3", 200),
        ("/api/v1/products?nothing=3", 400),
        ("/api/v1/orders", 200),
        ("/nothing", 404),
    ] {
        let get = over_http_1(&edge, &Method::GET, path, &token).await;
        assert!(get.0 == status && !get.2.is_empty(), "{path}: {get:?}");
        for head in [
            over_http_1(&edge, &Method::HEAD, path, &token).await,
            over_http_2(&edge, &Method::HEAD, path, &token).await,
        ] {
            assert_eq!((head.0, &head.1[0]), (status, &get.1[0]), "{path}: {head:?}");
            let length = head.1[1].as_ref().and_then(|length| length.to_str().unwrap().parse().ok());
            // Refusals hold the name of the request, and may be of another length.
            assert!(status != 200 || length == Some(get.2.len()), "{path}: {head:?}, {}", get.2.len());
            assert!(head.2.is_empty(), "{path}: {head:?}");
        }
    }
    let answer = edge.http.head(format!("{}/api/v1/orders/x:cancel", edge.url)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_mask_travels_in_the_query() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let token = upstream.key.token();
    for mask in
        ["updateMask=displayName,locale", "updateMask=display_name,locale", "update_mask=displayName,locale"]
    {
        let answer = edge
            .http
            .patch(format!("{}/api/v1/users/me?{mask}", edge.url))
            .bearer_auth(&token)
            .json(&json!({"displayName": "Анна"}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{mask}: {}", answer.text().await.unwrap());
        let update = upstream.seen.updates.lock().unwrap().pop().unwrap();
        assert_eq!(update.update_mask.unwrap().paths, ["display_name", "locale"], "{mask}");
        assert_eq!(update.user.unwrap().display_name, "Анна");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_grpc_web_reach_methods_with_their_details() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let token = format!("Bearer {}", upstream.key.token());

    let mut client = OrderServiceClient::new(edge.channel());
    let mut request = Request::new(artel_proto::order::CancelOrderRequest { id: ID.into() });
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let order = client.cancel_order(request).await.unwrap().into_inner().order.unwrap();
    assert_eq!(order.status(), OrderStatus::Cancelled);

    let mut request = Request::new(artel_proto::order::GetOrderRequest { id: ID.into() });
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let status = client.get_order(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, "Такого заказа нет."));
    use tonic_types::StatusExt as _;
    assert_eq!(status.get_details_error_info().unwrap().reason, "ORDER_NOT_FOUND");

    let (head, frames) = web(&edge, "OrderService/CancelOrder", &token, ID).await;
    assert_eq!(head["content-type"], "application/grpc-web+proto");
    assert_eq!(frames.len(), 2, "a message and the trailers");
    assert!(String::from_utf8_lossy(&frames[1].1).contains("grpc-status:0"));
    // An error without a message before it stands in the headers.
    let (head, frames) = web(&edge, "OrderService/GetOrder", &token, ID).await;
    assert_eq!(head["grpc-status"], "5");
    assert!(head.contains_key("grpc-status-details-bin"), "{head:?}");
    assert!(frames.is_empty());
}

/// A gRPC-Web call with one string field; the headers and the frames of the answer.
async fn web(
    edge: &Edge,
    method: &str,
    token: &str,
    id: &str,
) -> (reqwest::header::HeaderMap, Vec<(u8, Vec<u8>)>) {
    let message = artel_proto::order::GetOrderRequest { id: id.to_owned() }.encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let answer = edge
        .http
        .post(format!("{}/artel.order.v1.{method}", edge.url))
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .header("authorization", token)
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let head = answer.headers().clone();
    let bytes = answer.bytes().await.unwrap();
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let [kind, a, b, c, d, after @ ..] = rest {
        let (frame, next) = after.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        frames.push((*kind, frame.to_vec()));
        rest = next;
    }
    (head, frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_what_is_public() {
    use tokio_stream::StreamExt as _;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::{v1, v1alpha};

    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(edge.channel())
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"artel.order.v1.OrderService".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("persist")), "{names:?}");

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            "artel.order.v1.OrderService".into(),
        )),
    };
    let mut answers = v1alpha::server_reflection_client::ServerReflectionClient::new(edge.channel())
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response;
    assert!(
        matches!(
            answer,
            Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_ask_from_where_the_operator_says() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let ask = |origin: &'static str| {
        edge.http
            .request(reqwest::Method::OPTIONS, format!("{}/api/v1/orders", edge.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .send()
    };
    let answer = ask("http://localhost:5173").await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost:5173");
    assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    let answer = ask("http://elsewhere.example").await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    // What is refused must be readable by the page that asked.
    let answer = edge
        .http
        .get(format!("{}/api/v1/orders", edge.url))
        .header("origin", "http://localhost:5173")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost:5173");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_can_be_placed_by_grpc() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let items = vec![CreateOrderItem { product_id: ID.into(), quantity: 1 }];
    let mut request = Request::new(CreateOrderRequest { items, idempotency_key: "g".into() });
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {}", upstream.key.token()).parse().unwrap());
    let order = OrderServiceClient::new(edge.channel()).create_order(request).await.unwrap();
    assert_eq!(order.into_inner().order.unwrap().number, "A-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_reference_is_shown() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let stay = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = stay.get(format!("{}/", edge.url)).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    assert!(answer.headers()["location"].to_str().unwrap().ends_with("/docs"));
    assert_eq!(answer.text().await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_answered_with_201_and_only_that() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let post = async |path: &str, body: Value| {
        let answer = edge.http.post(format!("{}{path}", edge.url)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("x-artel-status"))
    };
    for path in ["/api/auth/quick-auth", "/api/v1/auth/quick-auth"] {
        assert_eq!(post(path, json!({"phone": "+77011234567"})).await, (201, false));
        assert_eq!(post(path, json!({"phone": "+77011234567", "deviceToken": "known"})).await, (200, false));
        assert_eq!(post(path, json!({"phone": ""})).await.0, 400);
    }
    // A method that is not annotated so answers 200, whatever it says.
    let confirm = json!({"phone": "+77011234567", "code": "1", "temporaryToken": "t"});
    assert_eq!(post("/api/auth/confirm", confirm).await.0, 200);
}
