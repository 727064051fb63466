DROP TABLE python_header_contentguard
--;;
DROP TABLE python_python_remote
--;;
DROP TABLE python_python_content
