DROP TABLE file_file_repository
--;;
DROP TABLE file_file_publication
--;;
DROP TABLE file_file_repository
--;;
DROP TABLE file_file_content
