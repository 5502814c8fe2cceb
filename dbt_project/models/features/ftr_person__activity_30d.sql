{{ person_activity('30d') }}
