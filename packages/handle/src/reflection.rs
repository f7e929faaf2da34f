//! Reflection of every contract, made when somebody asks for it first, and once for all services of the process: what it
//! keeps decoded are megabytes.

use std::sync::{Arc, LazyLock};

use http::Request;
use tonic::body::Body;
use tonic_reflection::server::Builder;

use crate::access::{REFLECTION, REFLECTION_ALPHA};
use crate::api::{Answer, AnyApi, Apis, Foreign};

static V1: LazyLock<Arc<dyn AnyApi>> =
    LazyLock::new(|| Arc::new(Foreign(builder().build_v1().expect("our own contracts can be reflected"))));
/// What older tools ask for.
static V1_ALPHA: LazyLock<Arc<dyn AnyApi>> = LazyLock::new(|| {
    Arc::new(Foreign(builder().build_v1alpha().expect("our own contracts can be reflected")))
});

/// Adds it to what a service answers.
pub(crate) fn beside(apis: Apis) -> Apis {
    apis.named(REFLECTION, Later(&V1)).named(REFLECTION_ALPHA, Later(&V1_ALPHA))
}

struct Later(&'static LazyLock<Arc<dyn AnyApi>>);

impl AnyApi for Later {
    fn answer(&self, request: Request<Body>) -> Answer {
        self.0.answer(request)
    }
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(artel_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
