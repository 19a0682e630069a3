//! Counting the rows of many queries in one pass over the twins.

use std::sync::Arc;

use super::configurations::{ConfigurationView, MetricResults};
use super::query::pause;
use super::service::ServiceSession;
use crate::configuration::{Configuration, MetricQueries};
use crate::error::HubError;
use crate::limits;
use crate::query::twin::TwinDocument;
use crate::query::{Position, Query, Rows, Run, Source};

/// A query whose rows are counted.
#[derive(Debug)]
pub(super) struct Metric {
    query: Query,
}

impl Metric {
    /// Reads the query of a metric.
    ///
    /// # Errors
    ///
    /// It is no query, or one about jobs.
    pub(super) fn parse(text: &str) -> Result<Self, HubError> {
        let query =
            Query::parse(text).map_err(|why| HubError::InvalidMetricQuery(why.to_string()))?;
        match query.source() {
            Source::Devices | Source::Modules => Ok(Self { query }),
            Source::Jobs => {
                Err(HubError::InvalidMetricQuery("metric is about jobs, expected twins".to_owned()))
            }
        }
    }
}

/// Fails if a text is no query of a metric.
pub(crate) fn check_metric(text: &str) -> Result<(), HubError> {
    Metric::parse(text).map(drop)
}

/// A metric and the rows that it has so far.
struct Counting<'q, 'c> {
    source: Source,
    rows: Run<'q, TwinDocument<'c>>,
}

impl ServiceSession {
    /// Configurations with what they count.
    pub(super) async fn counted(
        &self,
        configurations: Vec<Arc<Configuration>>,
    ) -> Result<Vec<ConfigurationView>, HubError> {
        let mut views = Vec::new();
        let mut queries = Vec::new();
        for configuration in configurations {
            let system = configuration.system_queries();
            let custom = configuration.metrics.clone();
            queries.extend(system.values().chain(custom.values()).cloned());
            views.push((configuration, system, custom));
        }
        let mut counts = self.counts(&queries).await?.into_iter();
        let mut results = |queries: MetricQueries| {
            let results = queries.keys().cloned().zip(counts.by_ref()).collect();
            MetricResults { queries, results }
        };
        let view = |(configuration, system, custom)| {
            let (system, custom) = (results(system), results(custom));
            ConfigurationView { configuration, system, custom }
        };
        Ok(views.into_iter().map(view).collect())
    }

    /// How many rows each of these queries has.
    async fn counts(&self, queries: &[String]) -> Result<Vec<u64>, HubError> {
        let metrics: Vec<Metric> =
            queries.iter().map(|query| Metric::parse(query)).collect::<Result<_, _>>()?;
        let mut counting: Vec<_> = metrics
            .iter()
            .map(|Metric { query }| Counting {
                source: query.source(),
                rows: Run::new(query, Position::default(), usize::MAX - 1),
            })
            .collect();
        let connections = self.hub();
        let mut seen = 0;
        for record in self.hub().records().all().await? {
            for one in &mut counting {
                if one.source == Source::Devices {
                    one.rows.offer(TwinDocument::of_device(record.clone(), connections));
                    continue;
                }
                let modules = TwinDocument::of_modules(&record, connections);
                modules.into_iter().for_each(|module| one.rows.offer(module));
            }
            seen += counting.len();
            if seen >= limits::SWEEP_CHUNK {
                seen = 0;
                pause().await;
            }
        }
        let count = |one: Counting<'_, '_>| match one.rows.finish().rows {
            Rows::Documents(rows) => rows.len() as u64,
            Rows::Raw(rows) => rows.len() as u64,
        };
        Ok(counting.into_iter().map(count).collect())
    }
}
