{{ person_activity('7d') }}
