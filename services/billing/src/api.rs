use std::time::Duration;

use artel_client::Call;
use artel_process::Engine;
use artel_proto::billing::billing_service_server::BillingService;
use artel_proto::billing::{
    CheckInvariantsRequest, CheckInvariantsResponse, GetPaymentRequest, GetPaymentResponse,
    ListReceiptsRequest, ListReceiptsResponse, PayOrderRequest, PayOrderResponse, Payment, Receipt,
    ReceiptStatus, RefundPaymentRequest, RefundPaymentResponse,
};
use artel_repo::{Direction, Query, Repo};
use tonic::{Request, Response, Status};

use crate::error::Refusal;
use crate::monitor::Monitor;
use crate::payment::{Payments, pay};
use crate::receipts;
use crate::refund::{Refunds, refund, refunds_of};

/// May see everybody's payments.
const CASHIER: &str = "cashier";
/// Most receipts that one payment is shown with.
const MOST: i32 = 1000;

/// The gRPC methods of `billing`.
pub(crate) struct Billing {
    pub repo: Repo,
    pub payments: Engine<Payments>,
    pub refunds: Engine<Refunds>,
    pub monitor: Monitor,
    /// How long who asks waits for the end at most.
    pub answer: Duration,
}

#[tonic::async_trait]
impl BillingService for Billing {
    async fn pay_order(
        &self,
        request: Request<PayOrderRequest>,
    ) -> Result<Response<PayOrderResponse>, Status> {
        let call = Call::of(&request)?;
        let begun = std::time::Instant::now();
        let answer = pay(&self.payments, call, request.get_ref(), self.answer).await?;
        metrics::histogram!("artel_billing_payment_seconds").record(begun.elapsed());
        Ok(Response::new(answer))
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        let (call, id) = (Call::of(&request)?, &request.get_ref().id);
        let user_id = call.user_id()?;
        let payment: Option<Payment> = self.repo.get(call, id).await?;
        let seen = |payment: &Payment| payment.user_id == user_id || call.has_role(CASHIER);
        let mut payment =
            payment.filter(seen).ok_or(Refusal::NoSuchPayment).map_err(artel_util::Error::from)?;
        payment.card_token.clear();
        let of_it = Query::new().equal("payment_id", &payment.id).page(MOST, "");
        let (refunds, receipts) = tokio::try_join!(
            refunds_of(&self.repo, call, &payment.id),
            self.repo.query::<Receipt>(call, of_it),
        )?;
        Ok(Response::new(GetPaymentResponse { payment: Some(payment), refunds, receipts: receipts.items }))
    }

    async fn refund_payment(
        &self,
        request: Request<RefundPaymentRequest>,
    ) -> Result<Response<RefundPaymentResponse>, Status> {
        let refund = refund(&self.refunds, Call::of(&request)?, request.get_ref(), self.answer).await?;
        Ok(Response::new(RefundPaymentResponse { refund: Some(refund) }))
    }

    async fn list_receipts(
        &self,
        request: Request<ListReceiptsRequest>,
    ) -> Result<Response<ListReceiptsResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let query = match asked.status() {
            ReceiptStatus::Unspecified => receipts::open(),
            status => Query::new().equal("status", status.as_str_name()),
        };
        let query =
            query.order("create_time", Direction::Ascending).page_asked(asked.page_size, &asked.page_token);
        let page = self.repo.query::<Receipt>(call, query).await?;
        Ok(Response::new(ListReceiptsResponse {
            receipts: page.items,
            next_page_token: page.next_page_token,
        }))
    }

    async fn check_invariants(
        &self,
        request: Request<CheckInvariantsRequest>,
    ) -> Result<Response<CheckInvariantsResponse>, Status> {
        let asked = request.get_ref();
        let found = self.monitor.check(Call::of(&request)?, asked.older_than_seconds).await?;
        Ok(Response::new(found))
    }
}
