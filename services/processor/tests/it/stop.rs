//! A processor stops while events arrive, and another one goes on.

use bus::topology::{DEAD, EVENTS};

use crate::site::{Site, log, session};

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_processor_hands_back_what_it_has_not_committed() {
    let site = Site::start().await;
    let processor = site.processor().await;
    let sessions: Vec<_> = (0..200).map(|n| session(&format!("{n:012x}"))).collect();
    let (some, rest) = sessions.split_at(20);
    site.publish(&log(1), &some.concat(), 0).await;
    site.until("select count(*) > 0 from events", "t").await;
    let (_, ()) = tokio::join!(site.publish(&log(2), &rest.concat(), 0), processor.stop());
    for stream in [EVENTS, DEAD] {
        let facts = site.bus.consumer(stream).await.unwrap().unwrap();
        assert_eq!(facts.unacknowledged, 0, "{stream}: a message would wait until its time is over");
    }
    assert_eq!(site.psql("select count(*) from leases where expires_at > now()"), "0");

    let next = site.processor().await;
    site.until_acknowledged().await;
    assert_eq!(site.psql("select count(*), count(distinct session) from events"), "600|200");
    next.stop().await;
}
