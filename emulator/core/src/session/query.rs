//! Queries, as a back end asks them.

use std::future::poll_fn;
use std::task::Poll;

use serde_json::{Map, Value};

use super::service::{ServiceSession, TwinView};
use crate::auth::policy::AccessRight;
use crate::error::HubError;
use crate::limits;
use crate::query::row::Row;
use crate::query::twin::TwinDocument;
use crate::query::{Page, Position, Query, Rows, Run, Source, Subject};

/// A page of the answer to a query.
#[derive(Clone, Debug)]
pub struct QueryPage {
    /// Its rows.
    pub rows: QueryRows,
    /// Asks for the next page; none if this is the last.
    pub continuation: Option<String>,
}

/// Rows of the answer to a query.
#[derive(Clone, Debug)]
pub enum QueryRows {
    /// Whole twins.
    Twins(Vec<TwinView>),
    /// What jobs did to devices.
    Jobs(Vec<Map<String, Value>>),
    /// What the query made of them.
    Raw(Vec<Map<String, Value>>),
}

impl ServiceSession {
    /// A page of the answer to a query: up to `size` rows, from where `continuation` says.
    ///
    /// # Errors
    ///
    /// The query is none, the continuation is not one of this query, or the caller may neither
    /// connect as a service nor read the registry.
    pub async fn query(
        &self,
        text: &str,
        size: usize,
        continuation: Option<&str>,
    ) -> Result<QueryPage, HubError> {
        // The documents contradict each other on which right it takes.
        self.require(AccessRight::RegistryRead)
            .or_else(|_| self.require(AccessRight::ServiceConnect))?;
        let query = Query::parse(text)?;
        let key = self.hub().continuation_key();
        let from = match continuation {
            None => Position::default(),
            Some(token) => Position::from_token(token, text, key)?,
        };
        let size = size.clamp(1, limits::QUERY_PAGE);
        let connections = self.hub().presences();
        let (rows, next) = match query.source() {
            Source::Devices => {
                let records = self.hub().records().all().await?.into_iter();
                let twins = records.map(|record| TwinDocument::of_device(record, connections));
                of_twins(run(&query, from, size, twins).await)
            }
            Source::Modules => {
                let records = self.hub().records().all().await?.into_iter();
                let twins =
                    records.flat_map(|record| TwinDocument::of_modules(&record, connections));
                of_twins(run(&query, from, size, twins).await)
            }
            Source::Jobs => of_jobs(run(&query, from, size, self.job_rows()).await),
        };
        let continuation = next.map(|next| next.to_token(text, key));
        Ok(QueryPage { rows, continuation })
    }

    /// What jobs did to devices: nothing as long as there are no jobs.
    fn job_rows(&self) -> impl Iterator<Item = Row> + Send + use<> {
        std::iter::empty()
    }
}

/// Offers all documents to the query, with a pause now and then: a query of a large hub must not
/// keep devices waiting for the processor.
async fn run<D: Subject>(
    query: &Query,
    from: Position,
    size: usize,
    documents: impl Iterator<Item = D>,
) -> Page<D> {
    let mut run = Run::new(query, from, size);
    for (count, document) in documents.enumerate() {
        if count % limits::QUERY_STRIDE == limits::QUERY_STRIDE - 1 {
            pause().await;
        }
        run.offer(document);
    }
    run.finish()
}

/// Lets other tasks of this thread run.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn of_twins(page: Page<TwinDocument<'_>>) -> (QueryRows, Option<Position>) {
    let rows = match page.rows {
        Rows::Documents(twins) => {
            QueryRows::Twins(twins.into_iter().map(TwinDocument::into_view).collect())
        }
        Rows::Raw(rows) => QueryRows::Raw(rows),
    };
    (rows, page.next)
}

fn of_jobs(page: Page<Row>) -> (QueryRows, Option<Position>) {
    let rows = match page.rows {
        Rows::Documents(jobs) => QueryRows::Jobs(jobs.into_iter().map(Row::into_members).collect()),
        Rows::Raw(rows) => QueryRows::Raw(rows),
    };
    (rows, page.next)
}
