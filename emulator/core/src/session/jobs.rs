//! Jobs, as a back end works with them.

use std::sync::Arc;

use super::service::ServiceSession;
use crate::auth::policy::AccessRight;
use crate::error::HubError;
use crate::hub::Hub;
use crate::job::{Job, JobDraft, JobId};
use crate::limits;
use crate::query::row::Row;
use crate::query::{Position, Query, Rows, Run};
use crate::store::StoreError;
use crate::table::TableChange;
use crate::twin::Document;

/// Which jobs are asked for; names as the caller spells them, none for all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct JobFilter {
    /// What they do.
    pub kind: Option<String>,
    /// How far they are.
    pub status: Option<String>,
}

/// A page of jobs.
#[derive(Clone, Debug)]
pub struct JobPage {
    /// The jobs, ordered by name.
    pub jobs: Vec<Arc<Job>>,
    /// Asks for the next page; none if this is the last.
    pub continuation: Option<String>,
}

impl ServiceSession {
    /// Creates a job. It runs when its time has come.
    ///
    /// # Errors
    ///
    /// The draft breaks a rule, there is such a job, there are too many, or the caller may not
    /// connect as a service.
    pub async fn create_job(&self, id: &JobId, draft: JobDraft) -> Result<Arc<Job>, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let job = Arc::new(Job::create(id.clone(), draft, self.hub().now())?);
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let change = TableChange {
                key: id.clone(),
                expected: None,
                value: Some(job.clone()),
                room: limits::JOBS,
            };
            match self.hub().jobs().commit(change).await {
                Ok(_) => {
                    self.hub().jobs_changed().notify_one();
                    return Ok(job);
                }
                Err(StoreError::Conflict) => return Err(HubError::JobAlreadyExists(id.clone())),
                Err(StoreError::Full) => forget_oldest(self.hub()).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(HubError::TooManyJobs)
    }

    /// A job.
    ///
    /// # Errors
    ///
    /// There is none, or the caller may not connect as a service.
    pub async fn job(&self, id: &JobId) -> Result<Arc<Job>, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let found = self.hub().jobs().get(id).await?;
        found.map(|found| found.value).ok_or_else(|| HubError::JobNotFound(id.to_string()))
    }

    /// Cancels a job. One that is at work stops within moments; what it has done stays done.
    ///
    /// # Errors
    ///
    /// There is none, it has ended, or the caller may not connect as a service.
    pub async fn cancel_job(&self, id: &JobId) -> Result<Arc<Job>, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let now = self.hub().now();
        let job = change_job(self.hub(), id, |job| job.cancelled(now)).await?;
        self.hub().job_cancelled().notify_waiters();
        Ok(job)
    }

    /// A page of jobs: up to `size`, from where `continuation` says.
    ///
    /// # Errors
    ///
    /// The continuation is not one of this filter, or the caller may not connect as a service.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        size: usize,
        continuation: Option<&str>,
    ) -> Result<JobPage, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let text = filter.to_text();
        let key = self.hub().continuation_key();
        let from = match continuation {
            None => Position::default(),
            Some(token) => Position::from_token(token, &text, key)?,
        };
        let mut found = self.hub().jobs().all().await?;
        found.retain(|job| filter.allows(job));
        // Pages of jobs are pages of rows that hold nothing but a name.
        let query = Query::parse("SELECT * FROM devices.jobs")?;
        let mut run = Run::new(&query, from, size.clamp(1, limits::QUERY_PAGE));
        for job in &found {
            let id = Document::from_iter([("jobId".to_owned(), job.id.as_str().into())]);
            run.offer(Row::of_job(id));
        }
        let page = run.finish();
        let names = match page.rows {
            Rows::Documents(rows) => rows.into_iter().map(Row::into_members).collect(),
            Rows::Raw(rows) => rows,
        };
        found.retain(|job| {
            names.iter().any(|name| name.get("jobId") == Some(&job.id.as_str().into()))
        });
        let continuation = page.next.map(|next| next.to_token(&text, key));
        Ok(JobPage { jobs: found, continuation })
    }
}

impl JobFilter {
    fn allows(&self, job: &Job) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        is(&self.kind, job.action.name()) && is(&self.status, job.status.name())
    }

    /// What a continuation token is bound to.
    fn to_text(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default().to_ascii_lowercase();
        format!("jobs {} {}", part(&self.kind), part(&self.status))
    }
}

/// Reads a job, lets `decide` make a new one of it, and commits that; again, if another change came
/// in between.
pub(super) async fn change_job(
    hub: &Hub,
    id: &JobId,
    decide: impl Fn(&Job) -> Result<Job, HubError>,
) -> Result<Arc<Job>, HubError> {
    loop {
        let found =
            hub.jobs().get(id).await?.ok_or_else(|| HubError::JobNotFound(id.to_string()))?;
        let job = Arc::new(decide(&found.value)?);
        let change = TableChange {
            key: id.clone(),
            expected: Some(found.revision),
            value: Some(job.clone()),
            room: limits::JOBS,
        };
        match hub.jobs().commit(change).await {
            Ok(_) => return Ok(job),
            // Only its run and whoever cancels it write a job: this ends.
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes room for a job by forgetting the one that ended first.
async fn forget_oldest(hub: &Hub) -> Result<(), HubError> {
    let jobs = hub.jobs().all().await?;
    let oldest = jobs.iter().filter(|job| job.status.is_end()).min_by_key(|job| job.ended);
    let oldest = oldest.ok_or(HubError::TooManyJobs)?;
    forget(hub, &oldest.id).await
}

/// Forgets a job that has ended.
pub(super) async fn forget(hub: &Hub, id: &JobId) -> Result<(), HubError> {
    let Some(found) = hub.jobs().get(id).await? else { return Ok(()) };
    let change = TableChange {
        key: id.clone(),
        expected: Some(found.revision),
        value: None,
        room: limits::JOBS,
    };
    match hub.jobs().commit(change).await {
        Ok(_) | Err(StoreError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
