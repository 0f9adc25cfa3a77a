// Every text of the page, a line each: key: [English, Japanese, German, Korean, Chinese]. {name} is filled in by t().

export const LOCALES = ["en", "ja", "de", "ko", "zh"];

/** @type {Record<string, [string, string, string, string, string]>} */
export const STRINGS = {
  // ---- the page itself
  "page.skip": ["Skip to the content", "本文へ移動", "Zum Inhalt springen", "본문으로 건너뛰기", "跳到正文"],
  "page.views": ["Views", "表示", "Ansichten", "보기", "视图"],
  "page.transcribe": ["Transcribe", "文字起こし", "Transkribieren", "받아쓰기", "转写"],
  "page.live": ["Live", "ライブ", "Live", "실시간", "实时"],
  "page.history": ["History", "履歴", "Verlauf", "기록", "历史"],
  "page.health": ["Health", "状態", "Zustand", "상태", "状态"],
  "page.transcript": ["Transcript", "文字起こし結果", "Transkript", "받아쓴 글", "转写稿"],
  "page.loading": ["Loading …", "読み込み中…", "Wird geladen …", "불러오는 중…", "正在加载…"],
  "page.loadFailed": ["This part of the page could not be loaded.", "ページのこの部分を読み込めませんでした。", "Dieser Teil der Seite konnte nicht geladen werden.", "페이지의 이 부분을 불러오지 못했습니다.", "无法加载页面的这一部分。"],
  "page.crashed": ["Something went wrong in this view. What was saved is still there.", "この表示で問題が発生しました。保存済みの内容は残っています。", "In dieser Ansicht ist etwas schiefgegangen. Gespeichertes ist noch da.", "이 화면에서 문제가 발생했습니다. 저장된 내용은 그대로 있습니다.", "此视图出错。已保存的内容仍在。"],
  "page.retry": ["Try again", "もう一度試す", "Erneut versuchen", "다시 시도", "重试"],
  "page.close": ["Close", "閉じる", "Schließen", "닫기", "关闭"],
  "page.cancel": ["Cancel", "キャンセル", "Abbrechen", "취소", "取消"],
  "page.theme": ["Appearance", "外観", "Darstellung", "화면 모드", "外观"],
  "page.theme.system": ["as the system", "システムに合わせる", "wie das System", "시스템 설정", "跟随系统"],
  "page.theme.light": ["light", "ライト", "hell", "밝게", "浅色"],
  "page.theme.dark": ["dark", "ダーク", "dunkel", "어둡게", "深色"],
  "page.language": ["Language of the page", "ページの言語", "Sprache der Seite", "페이지 언어", "页面语言"],
  "page.privacy": ["Files go to this server only.", "ファイルはこのサーバーにのみ送信されます。", "Dateien gehen nur an diesen Server.", "파일은 이 서버로만 전송됩니다.", "文件只会发送到本服务器。"],
  "page.api": ["API description", "APIの説明", "API-Beschreibung", "API 설명", "API 说明"],
  "page.key": ["API key", "APIキー", "API-Schlüssel", "API 키", "API 密钥"],
  "page.keyEnter": ["Enter the API key", "APIキーを入力", "API-Schlüssel eingeben", "API 키 입력", "输入 API 密钥"],
  "page.keyChange": ["Change the API key", "APIキーを変更", "API-Schlüssel ändern", "API 키 변경", "更改 API 密钥"],
  "page.keyWhat": ["This server answers requests with a key. Its operator gives you one.", "このサーバーはキー付きのリクエストに応答します。キーは運用者から受け取ってください。", "Dieser Server beantwortet Anfragen mit einem Schlüssel. Sie erhalten ihn vom Betreiber.", "이 서버는 키가 있는 요청에만 응답합니다. 키는 운영자에게 받으세요.", "本服务器只响应带密钥的请求。请向运营者索取密钥。"],
  "page.keyWanted": ["This server wants an API key. Its operator gives you one.", "このサーバーにはAPIキーが必要です。運用者から受け取ってください。", "Dieser Server verlangt einen API-Schlüssel. Sie erhalten ihn vom Betreiber.", "이 서버에는 API 키가 필요합니다. 키는 운영자에게 받으세요.", "本服务器需要 API 密钥。请向运营者索取。"],
  "page.keyWrong": ["The server does not know this key. Check it and try again.", "サーバーはこのキーを認識しません。確認してもう一度お試しください。", "Der Server kennt diesen Schlüssel nicht. Bitte prüfen und erneut versuchen.", "서버가 이 키를 알지 못합니다. 확인한 뒤 다시 시도하세요.", "服务器不认识此密钥。请检查后重试。"],
  "page.keyMissing": ["Enter a key.", "キーを入力してください。", "Bitte einen Schlüssel eingeben.", "키를 입력하세요.", "请输入密钥。"],
  "page.keyKeep": ["Remember it on this device", "この端末に記憶する", "Auf diesem Gerät merken", "이 기기에 저장", "在此设备上记住"],
  "page.keyUse": ["Use the key", "キーを使う", "Schlüssel verwenden", "키 사용", "使用密钥"],
  "page.keyForget": ["Forget the key", "キーを消去", "Schlüssel vergessen", "키 지우기", "清除密钥"],
  "page.keyAccepted": ["The key works.", "キーが確認されました。", "Der Schlüssel funktioniert.", "키가 확인되었습니다.", "密钥有效。"],

  // ---- transcribe: files, options, progress

  // ---- transcript and editor

  // ---- player

  // ---- live captions

  // ---- history

  // ---- models and health

  // ---- errors
  "error.unreachable": ["The server cannot be reached, or it closed the connection.", "サーバーに接続できないか、接続が閉じられました。", "Der Server ist nicht erreichbar oder hat die Verbindung geschlossen.", "서버에 연결할 수 없거나 연결이 끊어졌습니다.", "无法连接服务器，或连接已被关闭。"],
  "error.serverGone": ["The server does not answer. This goes away when it does again.", "サーバーが応答しません。応答が戻ると、この表示は消えます。", "Der Server antwortet nicht. Dieser Hinweis verschwindet, sobald er es wieder tut.", "서버가 응답하지 않습니다. 다시 응답하면 이 안내가 사라집니다.", "服务器没有响应。恢复后此提示会消失。"],
  "error.offline": ["This device is offline. What this browser keeps can still be read.", "この端末はオフラインです。このブラウザーに保存した内容は引き続き読めます。", "Dieses Gerät ist offline. Was dieser Browser aufbewahrt, bleibt lesbar.", "이 기기가 오프라인입니다. 이 브라우저에 저장된 내용은 계속 읽을 수 있습니다.", "此设备已离线。浏览器保存的内容仍可阅读。"],
};
