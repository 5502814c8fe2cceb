{{ of_persons(visitor_activity('24h', 'facts_of_persons')) }}
