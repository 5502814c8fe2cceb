"""Names under which senders put who somebody was: `email`, `customerNo`, `street`."""

import functools
import re

from nearline.events.identifiers import find_identifier

LONGEST_KEY = 64
"""A longer name of a property is no name, and may hold anything."""

# However they are written: blanks, case and punctuation do not count.
_PERSONAL_KEYS = frozenset(
    word
    for line in (
        "email emailaddress mail mailaddress useremail customeremail phone phonenumber",
        "telephone telephonenumber tel mobilenumber mobilephone cellphone fax",
        "ip ipaddress ipv4 ipv6 remoteaddr clientip userip",
        "userid uid accountid accountnumber accountno customerid customernumber",
        "customerno clientid memberid membernumber loyaltyid loyaltynumber login",
        "loginname username visitorid anonymousid deviceid advertisingid idfa idfv gaid",
        "firstname lastname middlename surname familyname givenname fullname maidenname",
        "birthday birthdate dateofbirth dob ssn socialsecuritynumber taxid passport",
        "iban cardnumber creditcard password passwd pwd secret token accesstoken",
        "authorization cookie useragent street streetaddress address addressline1",
        "addressline2 billingaddress shippingaddress latitude longitude",
    )
    for word in line.split()
)
_NOT_A_LETTER = re.compile(r"[^a-z0-9]")


def names_person(key: str) -> bool:
    """Whether what stands under `key` tells who it was, or the key itself does."""
    return len(key) > LONGEST_KEY or _names_person(key)


@functools.lru_cache(maxsize=10_000)
def _names_person(key: str) -> bool:
    return (
        _NOT_A_LETTER.sub("", key.lower()) in _PERSONAL_KEYS
        or find_identifier(key) is not None
    )
