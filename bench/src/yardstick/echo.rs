//! A unary method that does nothing but answer: bare, and behind the whole stack. It answers as persist does to a read of
//! one product, so that both carry what a real call carries.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use artel_proto::catalog::Product;
use artel_proto::persist::{GetRequest, GetResponse};
use artel_proto::{Entity as _, Limited, Message as _};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::store::{WORKSPACE, product_id};

/// Its path: access and field rules are those of the real method.
pub const PATH: &str = "/artel.persist.v1.PersistService/Get";

/// The codec of those who have no rules.
pub type Plain<Out, In> = ProstCodec<Out, In>;

/// The method, over a codec.
pub struct Echo<C> {
    waiting: Option<Waiting>,
    codec: PhantomData<fn() -> C>,
}

/// How long an answer takes, and how many are made at once.
#[derive(Clone)]
pub struct Waiting {
    places: Arc<Semaphore>,
    time: Duration,
}

impl Waiting {
    /// So many at once, so long each.
    pub fn new(at_once: usize, time: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(at_once)), time }
    }
}

impl<C> Echo<C> {
    /// Answers after waiting.
    pub fn waiting(waiting: Waiting) -> Self {
        Self { waiting: Some(waiting), codec: PhantomData }
    }
}

impl<C> Default for Echo<C> {
    fn default() -> Self {
        Self { waiting: None, codec: PhantomData }
    }
}

impl<C> Clone for Echo<C> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone(), codec: PhantomData }
    }
}

impl<C> NamedService for Echo<C> {
    const NAME: &'static str = "artel.persist.v1.PersistService";
}

impl<C> Limited for Echo<C> {}

impl<C> tower_service::Service<http::Request<Body>> for Echo<C>
where
    C: Codec<Encode = GetResponse, Decode = GetRequest> + Default + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let waiting = self.waiting.clone();
        async move {
            let Some(Waiting { places, time }) = waiting else {
                return Ok(Grpc::new(C::default()).unary(Answer(None), request).await);
            };
            let arrived = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Never closed.
            let _place = places.acquire_owned().await;
            tokio::time::sleep(time).await;
            Ok(Grpc::new(C::default()).unary(Answer(Some(arrived)), request).await)
        }
        .boxed()
    }
}

/// Says when it was asked, where somebody wants to know.
struct Answer(Option<Duration>);

impl UnaryService<GetRequest> for Answer {
    type Response = GetResponse;
    type Future = std::future::Ready<Result<Response<GetResponse>, Status>>;

    fn call(&mut self, request: Request<GetRequest>) -> Self::Future {
        let id = request.into_inner().ids.pop().unwrap_or_default();
        let name = self.0.map_or_else(
            || "Чай".to_owned(),
            |moment| format!("{} {}", std::process::id(), moment.as_secs_f64()),
        );
        let product = Product { id, name, stock: 7, ..Product::default() };
        std::future::ready(Ok(Response::new(GetResponse { items: vec![product.encode_to_vec().into()] })))
    }
}

/// Serves it bare until the runtime ends.
pub async fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    let server = Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_service(Echo::<Plain<GetResponse, GetRequest>>::default());
    Ok(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))).await?)
}

/// Calls it bare.
pub async fn call(channel: Channel, number: u32) -> Result<GetResponse> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let codec = Plain::<GetRequest, GetResponse>::default();
    let answer = client.unary(Request::new(request(number)), PathAndQuery::from_static(PATH), codec).await?;
    Ok(answer.into_inner())
}

/// Which process answered, and when it was asked, in seconds since 1970.
pub fn who(answer: &GetResponse) -> Option<(u32, f64)> {
    let product = Product::decode(answer.items.first()?.clone()).ok()?;
    let (pid, moment) = product.name.split_once(' ')?;
    Some((pid.parse().ok()?, moment.parse().ok()?))
}

/// A read of one product.
pub fn request(number: u32) -> GetRequest {
    GetRequest { entity: Product::NAME.to_owned(), ids: vec![product_id(number)], ..GetRequest::default() }
}

/// The call of a service that reads.
pub fn caller() -> artel_client::Call {
    artel_client::Call::by_service("order", WORKSPACE)
}
