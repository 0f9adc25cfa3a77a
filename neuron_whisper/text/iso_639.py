"""Three-letter codes of ISO 639-2 and 639-3, and older two-letter ones, as Whisper's codes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Whisper's code: ISO 639-2/T, 639-2/B where it differs, then the 639-3 codes of what is usually meant by it
_CODES = """
en:eng zh:zho,chi,cmn de:deu,ger es:spa ru:rus ko:kor fr:fra,fre ja:jpn pt:por tr:tur pl:pol ca:cat nl:nld,dut,vls
ar:ara,arb sv:swe it:ita id:ind hi:hin fi:fin vi:vie he:heb uk:ukr el:ell,gre ms:msa,may,zsm,zlm cs:ces,cze
ro:ron,rum,mol da:dan hu:hun ta:tam no:nor,nob th:tha ur:urd hr:hrv,scr bg:bul lt:lit la:lat mi:mri,mao ml:mal
cy:cym,wel sk:slk,slo te:tel fa:fas,per,pes,prs lv:lav,lvs bn:ben sr:srp,scc az:aze,azj,azb sl:slv kn:kan et:est,ekk
mk:mkd,mac br:bre eu:eus,baq is:isl,ice hy:hye,arm ne:nep,npi mn:mon,khk bs:bos kk:kaz sq:sqi,alb,als sw:swa,swh
gl:glg mr:mar pa:pan si:sin km:khm sn:sna yo:yor so:som af:afr oc:oci ka:kat,geo be:bel tg:tgk sd:snd gu:guj am:amh
yi:yid,ydd lo:lao uz:uzb,uzn fo:fao ht:hat ps:pus,pbt,pbu tk:tuk nn:nno mt:mlt sa:san lb:ltz my:mya,bur bo:bod,tib
tl:tgl,fil mg:mlg,plt as:asm tt:tat haw:haw ln:lin ha:hau ba:bak jw:jav su:sun yue:yue
"""


def _read_codes() -> dict[str, str]:
    codes = {}
    for entry in _CODES.split():
        code, _, others = entry.partition(":")
        codes.update(dict.fromkeys(others.split(","), code))
    return codes


ISO_639_CODES: Mapping[str, str] = MappingProxyType(
    {**_read_codes(), "jv": "jw", "nb": "no", "iw": "he", "in": "id", "ji": "yi", "mo": "ro"}
)
