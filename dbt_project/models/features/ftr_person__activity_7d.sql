{{ of_persons(visitor_activity('7d', 'facts_of_persons')) }}
