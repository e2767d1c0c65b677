-- What an event adds to `forwards`. `data` is as logged, a Python repr (b'GET / HTTP/1.1\r\n'); python_text(data) undoes it where it is read.
create or replace function forwards_of(e events) returns setof forwards language sql immutable parallel unsafe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip,
        case when e.eventid = 'cowrie.tunnelproxy-tcpip.data' then 'tunnelproxy-data' else substr(e.eventid, 21) end,
        e.payload ->> 'dst_ip', text_inet(e.payload ->> 'dst_ip'), json_int(e.payload -> 'dst_port'),
        text_inet(e.payload ->> 'orig_ip'),
        case when e.payload ? 'orig_port' then json_int(e.payload -> 'orig_port')
            when e.eventid in ('cowrie.direct-tcpip.request', 'cowrie.direct-tcpip.redirect', 'cowrie.direct-tcpip.tunnel') then json_int(e.payload -> 'src_port') end,
        e.payload ->> 'new_ip', json_int(e.payload -> 'new_port'), e.payload ->> 'data', e.payload ->> 'ja4', e.payload ->> 'ja4h'
    where e.eventid like 'cowrie.direct-tcpip.%' or e.eventid = 'cowrie.tunnelproxy-tcpip.data'
$$;
