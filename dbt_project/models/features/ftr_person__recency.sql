{{ of_persons(visitor_recency('facts_of_persons')) }}
