-- What an event adds to `client_fingerprints`.
create or replace function client_fingerprints_of(e events) returns setof client_fingerprints language sql immutable parallel safe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip,
        case when e.eventid = 'cowrie.client.fingerprint' then 'key' else substr(e.eventid, 15) end,
        regexp_replace(e.payload ->> 'version', '^b?([''"])(.*)\1$', '\2'), coalesce(e.payload ->> 'hassh', e.payload ->> 'client_fingerprint'),
        e.payload ->> 'hasshAlgorithms',
        case when jsonb_typeof(e.payload -> 'kexAlgs') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'kexAlgs')) end,
        case when jsonb_typeof(e.payload -> 'keyAlgs') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'keyAlgs')) end,
        case when jsonb_typeof(e.payload -> 'encCS') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'encCS')) end,
        case when jsonb_typeof(e.payload -> 'macCS') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'macCS')) end,
        case when jsonb_typeof(e.payload -> 'compCS') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'compCS')) end,
        case when jsonb_typeof(e.payload -> 'langCS') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'langCS')) end,
        json_int(e.payload -> 'width'), json_int(e.payload -> 'height'), e.payload ->> 'name', e.payload ->> 'value',
        e.payload ->> 'username', e.payload ->> 'fingerprint', e.payload ->> 'key', e.payload ->> 'type'
    where e.eventid in ('cowrie.client.version', 'cowrie.client.kex', 'cowrie.client.size', 'cowrie.client.var', 'cowrie.client.fingerprint')
$$;
