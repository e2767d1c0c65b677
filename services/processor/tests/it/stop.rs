//! A processor stops while events arrive, and another one goes on.

use crate::site::{Site, log, session};

#[tokio::test(flavor = "multi_thread")]
async fn another_processor_goes_on_where_one_stopped() {
    let site = Site::start().await;
    let processor = site.processor().await;
    let sessions: Vec<_> = (0..200).map(|n| session(&format!("{n:012x}"))).collect();
    let (some, rest) = sessions.split_at(20);
    let (some, rest, first, second) = (some.concat(), rest.concat(), log(1), log(2));
    site.publish(&first, &some, 0).await;
    site.until("select count(*) > 0 from events", "t").await;
    tokio::join!(site.publish(&second, &rest, 0), processor.stop());
    assert_eq!(site.psql("select count(*) from leases where expires_at > now()"), "0");

    let next = site.processor().await;
    site.until_acknowledged().await;
    assert_eq!(site.psql("select count(*), count(distinct session) from events"), "600|200");
    next.stop().await;
}
