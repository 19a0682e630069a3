//! The course of a job.

use super::*;
use crate::query::Subject as _;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn draft(condition: &str, start: Option<Timestamp>) -> JobDraft {
    JobDraft {
        action: Action::UpdateTwin(TwinPatch::default()),
        source: Document::new(),
        query_condition: condition.to_owned(),
        start,
        time_limit: None,
    }
}

fn job(start: Option<Timestamp>) -> Job {
    Job::create(JobId::parse("j").unwrap(), draft("*", start), at(10)).unwrap()
}

fn devices(count: usize) -> Arc<[DeviceId]> {
    (0..count).map(|number| DeviceId::parse(&format!("d{number}")).unwrap()).collect()
}

fn outcome(device: &DeviceId, good: bool) -> Outcome {
    let result = if good { Ok(None) } else { Err(HubError::JobTimedOut) };
    Outcome { device: device.clone(), result, started: at(11), ended: at(12) }
}

#[test]
fn a_job_waits_for_its_time() {
    assert_eq!(job(None).status, JobStatus::Queued);
    assert_eq!(job(Some(at(5))).start, at(10), "the past is now");
    assert_eq!(job(Some(at(20))).status, JobStatus::Scheduled);
}

#[test]
fn conditions_are_about_devices() {
    for bad in ["tags.a =", "SELECT * FROM devices", "FROM devices.modules WHERE moduleId = 'm'"] {
        let created = Job::create(JobId::parse("j").unwrap(), draft(bad, None), at(1));
        assert!(matches!(created, Err(HubError::ArgumentInvalid(_))), "{bad}");
    }
}

#[test]
fn counts_and_rows_agree_when_it_is_cancelled_half_way() {
    let devices = devices(4);
    let running = job(None).started(devices.clone(), at(11)).unwrap();
    let first = [outcome(&devices[0], true), outcome(&devices[2], false)];
    let half = running.progressed(&first.into());
    let counts = DeviceCounts { all: 4, failed: 1, succeeded: 1, pending: 2 };
    assert_eq!(half.counts(), counts);
    let cancelled = half.cancelled(at(12)).unwrap();
    assert_eq!(cancelled.counts(), DeviceCounts { pending: 0, ..counts });
    // What was under way is noted all the same.
    let last = cancelled.progressed(&[outcome(&devices[1], true)].into());
    assert_eq!(last.status, JobStatus::Cancelled);
    assert_eq!(last.counts().succeeded, 2);
    let mut rows: Vec<_> = rows(Arc::new(last.clone()))
        .map(|row| {
            let device = row.key().1.to_owned();
            (device, row.into_members()["status"].as_str().unwrap().to_owned())
        })
        .collect();
    rows.sort();
    let expected = [("d0", "completed"), ("d1", "completed"), ("d2", "failed"), ("d3", "canceled")];
    assert_eq!(rows, expected.map(|(device, status)| (device.to_owned(), status.to_owned())));
    assert!(last.cancelled(at(13)).is_err());
    assert_eq!(last.finished(None, at(13)), None);
    assert_eq!(last.started(devices, at(13)), None);
}
