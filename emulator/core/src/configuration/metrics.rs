//! What is counted for every configuration, as queries that users can ask too.

use super::target::starts_with_from;
use super::{Configuration, Content, MetricQueries};

const SUCCEEDED: &str = "properties.desired.$version = properties.reported.lastDesiredVersion and properties.reported.lastDesiredStatus.code = 200";
const FAILED: &str = "properties.desired.$version = properties.reported.lastDesiredVersion and properties.reported.lastDesiredStatus.code != 200";

impl Configuration {
    /// The queries whose rows the service counts.
    pub(crate) fn system_queries(&self) -> MetricQueries {
        let queries = match &self.content {
            Some(content) if content.is_edge() => self.edge_queries(),
            content => self.twin_queries(content.as_ref().is_some_and(Content::is_module)),
        };
        queries.into_iter().map(|(name, query)| (name.to_owned(), query)).collect()
    }

    fn twin_queries(&self, is_module: bool) -> Vec<(&'static str, String)> {
        let (select, source) = if is_module {
            ("select deviceId, moduleId", "from devices.modules")
        } else {
            ("select deviceId", "from devices")
        };
        let applied = self.applied();
        vec![
            ("targetedCount", format!("{select} {}", self.targeted(source))),
            ("appliedCount", format!("{select} {source} where {applied}")),
        ]
    }

    fn edge_queries(&self) -> Vec<(&'static str, String)> {
        let edge = "capabilities.iotEdge = true";
        let targeted = match self.target_condition.trim() {
            "*" => format!("select deviceId from devices where {edge}"),
            "" => "select deviceId from devices where false".to_owned(),
            condition => format!("select deviceId from devices where {edge} and ({condition})"),
        };
        let agents = "select deviceId from devices.modules where moduleId = '$edgeAgent'";
        let applied = self.applied();
        vec![
            ("targetedCount", targeted),
            ("appliedCount", format!("{agents} and {applied}")),
            ("reportedSuccessfulCount", format!("{agents} and {applied} and {SUCCEEDED}")),
            ("reportedFailedCount", format!("{agents} and {applied} and {FAILED}")),
        ]
    }

    fn targeted(&self, source: &str) -> String {
        match self.target_condition.trim() {
            "*" => source.to_owned(),
            "" => format!("{source} where false"),
            condition if starts_with_from(condition) => condition.to_owned(),
            condition => format!("{source} where {condition}"),
        }
    }

    fn applied(&self) -> String {
        format!("configurations.[[{}]].status = 'Applied'", self.id)
    }
}
