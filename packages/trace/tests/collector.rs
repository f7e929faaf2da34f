//! What a collector gets, over a real connection. One test: the way to it is one a process.

use std::time::Duration;

use artel_trace::{Kind, Settings, Span, Trace, set_share, start};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _ = self.0.send(request.into_inner()).await;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn spans_arrive_with_their_service_their_parent_and_how_they_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut arrived) = mpsc::channel(16);
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let exporter = start(&Settings { address, queue: 100 }).unwrap();
    set_share(100.0).unwrap();
    let trace = Trace::start();
    let step = trace.child();
    Span::begin("persist", &step, Kind::Server, "Commit").answered(Code::Aborted);
    drop(Span::begin("order", &trace, Kind::Server, "PlaceOrder"));
    set_share(0.0).unwrap();
    // Not chosen, so nobody hears of it.
    Span::begin("order", &Trace::start(), Kind::Server, "Secret").done();
    exporter.drain(Duration::from_secs(10)).await;

    let mut spans = Vec::new();
    while let Ok(request) = arrived.try_recv() {
        for resource in request.resource_spans {
            let service = format!("{:?}", resource.resource.unwrap().attributes[0].value);
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans)
                    .map(|span| (service.clone(), span)),
            );
        }
    }
    assert_eq!(spans.len(), 2, "{spans:?}");
    let of = |service: &str| &spans.iter().find(|(name, _)| name.contains(service)).unwrap().1;
    let (order, persist) = (of("order"), of("persist"));
    assert_eq!(persist.parent_span_id, order.span_id);
    assert!(order.parent_span_id.iter().all(|byte| *byte == 0));
    assert!([order, persist].iter().all(|span| span.trace_id == trace.number().to_be_bytes()));
    let status = persist.status.as_ref().unwrap();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "Aborted"));
    assert_eq!(order.status.as_ref().unwrap().message, "given up");
    assert!(persist.end_time_unix_nano >= persist.start_time_unix_nano);
}
