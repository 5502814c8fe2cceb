{{ visitor_activity('7d') }}
