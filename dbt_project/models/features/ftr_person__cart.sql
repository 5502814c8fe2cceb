{{ of_persons(visitor_cart('facts_of_persons')) }}
