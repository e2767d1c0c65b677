//! The database is away while events arrive.

use bus::topology::EVENTS;
use futures::{FutureExt, StreamExt};

use crate::site::{Site, length, log, session};

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_published_after_the_commit() {
    let mut site = Site::start().await;
    let processor = site.processor().await;
    let mut receipts = site.bus.receipts(&site.sensor).await.unwrap();
    let (file, lines) = (log(1), session("0123456789ab"));

    site.postgres.stop().await;
    site.publish(&file, &lines, 0).await;
    while site.bus.consumer(EVENTS).await.unwrap().unwrap().unacknowledged < lines.len() as u64 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(receipts.next().now_or_never().is_none(), "the processor has the batch and cannot commit it");

    site.postgres.restart(|_| ()).await;
    // The processor may have split the lines into several batches.
    loop {
        let receipt = receipts.next().await.unwrap();
        let (known, ranges) = &receipt.files[0];
        assert_eq!(*known, file.file_id);
        for (start, end) in ranges {
            let committed =
                site.psql(&format!("select committed @> int8range({start}, {end}) from loader_files"));
            assert_eq!(committed, "t", "the receipt arrived after the commit");
        }
        if *ranges == [(0, length(&lines))] {
            break;
        }
    }
    site.until_acknowledged().await;
    processor.stop().await;
}
