//! gRPC and reflection at the same door as REST.

use artel_client::Trace;
use artel_proto::catalog::ListProductsRequest;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use artel_proto::order::ListOrdersRequest;
use artel_proto::order::order_service_client::OrderServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::shop::Person;
use crate::support::Mesh;

async fn edge(mesh: &Mesh) -> Channel {
    Channel::from_shared(mesh.api.clone()).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn grpc_goes_through_the_same_door() {
    let mesh = Mesh::get();
    let anna = Person::register(&mesh, "en").await;
    let channel = edge(&mesh).await;
    let products = CatalogServiceClient::new(channel.clone())
        .list_products(ListProductsRequest { page_size: 3, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    assert!(!products.products.is_empty());
    let mut orders = OrderServiceClient::new(channel);
    let refused = orders.list_orders(ListOrdersRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut request = Request::new(ListOrdersRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {}", anna.token).parse().unwrap());
    request.metadata_mut().insert("traceparent", Trace::start().to_string().parse().unwrap());
    assert!(orders.list_orders(request).await.unwrap().into_inner().orders.is_empty());
}

#[tokio::test]
async fn reflection_shows_the_public_services_and_hides_the_rest() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let mesh = Mesh::get();
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let answer: ServerReflectionResponse = ServerReflectionClient::new(edge(&mesh).await)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in [
        "artel.order.v1.OrderService",
        "artel.catalog.v1.CatalogService",
        "artel.identity.v1.IdentityService",
    ] {
        assert!(names.iter().any(|name| name == service), "{service} is not in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("persist")), "{names:?}");
}
