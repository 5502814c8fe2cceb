{{ person_activity('24h') }}
